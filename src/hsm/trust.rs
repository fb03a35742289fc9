//! Whether a device's output can be trusted, and what happens when it cannot.
//!
//! # Invariants
//! - A device that returned a wrong output serves nothing more: no encryption, no decryption, no attempt to open it again. What it answered
//!   to others at the same moment is withheld.
//! - Only an operator ends this: a restart, another token in its `[[hsm]]`, or a new `[[hsm]]`. Other settings of the device can change by
//!   themselves (a PIN file that is rotated, for example) and do not.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::errors::{CallError, Violation};
use super::history::History;
use super::queue::Generation;
use super::shared::Shared;
use crate::ekm::{KeyManagerError, KeyManagerFault};

/// The trust in one token. It outlives the connections to it.
#[derive(Debug, Default)]
pub(super) struct Trust {
    pub history: History,
    lost: OnceLock<String>,
}

impl Trust {
    /// Why the device is not trusted; none: it is.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }
}

impl Shared {
    /// Ends the service of the device, because its output was wrong.
    pub(super) fn distrust(&self, generation: Generation, violation: Violation) {
        let reason = format!("its output is wrong: {violation}");
        if self.trust.lost.set(reason.clone()).is_err() {
            return;
        }
        let hsm = &self.settings.name;
        tracing::error!(
            %hsm,
            reason,
            "the HSM returned a wrong result; it is not used until an operator acts"
        );
        self.quarantine();
        self.report_fatal(generation, reason);
    }

    /// Passes the outcome of a call on. The device is not used any more if its output was wrong.
    pub(super) fn watched<T>(
        &self,
        generation: Generation,
        outcome: Result<T, CallError>,
    ) -> Result<T, CallError> {
        if let Err(CallError::Wrong(violation)) = &outcome {
            self.distrust(generation, *violation);
        }
        outcome
    }

    /// The answer, or an error if the device is not trusted any more.
    pub(super) fn unless_untrusted<T>(&self, answer: T) -> Result<T, KeyManagerError> {
        match self.trust.lost() {
            None => Ok(answer),
            Some(reason) => Err(self.error(KeyManagerFault::DeviceUnavailable, reason.to_owned())),
        }
    }

    /// Closes the queue if the device is not trusted; returns whether it is so.
    pub(super) fn is_quarantined(&self) -> bool {
        let Some(reason) = self.trust.lost() else {
            return false;
        };
        let hsm = &self.settings.name;
        tracing::error!(%hsm, reason, "the HSM stays unused until an operator acts");
        self.quarantine();
        self.opening_failed.store(true, Ordering::Release);
        true
    }
}
