//! A running simulator. It is the only access to the state.
//!
//! # Invariants
//! - The state is read and changed in closures without `await`.
//! - If there is a state file, a change is in it before the operation returns.

use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use crate::simulator::callers::credentials::KmsCredentials;
use crate::simulator::callers::principals::Principals;
use crate::simulator::cloudtrail::CloudTrail;
use crate::simulator::cloudwatch::CloudWatch;
use crate::simulator::events::Events;
use crate::simulator::metrics::KeyStoreMetrics;
use crate::simulator::proxy::link::{LinkSettings, ProxyLink};
use crate::simulator::proxy::tls::ProxyTls;
use crate::simulator::state::KmsState;
use crate::simulator::state::endpoint_services::EndpointServices;
use crate::simulator::state::file::StateFile;
use crate::simulator::state::last_usage::LastUsages;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::sync::{blocking_task, poisoned};

/// A running simulator.
pub(super) struct Kms {
    pub(super) tls: ProxyTls,
    pub(super) events: Events,
    pub(super) metrics: KeyStoreMetrics,
    pub(super) cloudwatch: CloudWatch,
    pub(super) usages: LastUsages,
    /// The CloudTrail records. If none, CloudTrail is off.
    pub(super) trail: Option<CloudTrail>,
    /// The credentials of callers. If none, every caller is accepted.
    pub(super) credentials: Option<KmsCredentials>,
    /// Tags and identity policies. If none, identity policies allow everything.
    pub(super) principals: Option<Principals>,
    /// The quota of each store, in cryptographic requests per second.
    pub(super) quota: u32,
    /// The time limit for a call to a proxy.
    pub(super) timeout: Duration,
    pub(super) endpoint_services: EndpointServices,
    /// True if a time-out of a cryptographic operation is a KMSInternalException.
    pub(super) internal_timeouts: bool,
    pub(super) state: RwLock<KmsState>,
    pub(super) file: Option<Mutex<StateFile>>,
}

impl Kms {
    /// Reads the state.
    pub(super) fn read<T>(&self, read: impl FnOnce(&KmsState) -> T) -> T {
        read(&self.state.read().unwrap_or_else(poisoned))
    }

    /// Changes the state and saves it. A closure that returns an error must not have changed anything.
    pub(super) async fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut KmsState) -> Result<T, Exception>,
    ) -> Result<T, Exception> {
        let changed = change(&mut self.state.write().unwrap_or_else(poisoned))?;
        self.save().await?;
        Ok(changed)
    }

    /// Changes the state; saves it if the closure returns true.
    pub(super) async fn change_if(
        self: &Arc<Self>,
        change: impl FnOnce(&mut KmsState) -> Result<bool, Exception>,
    ) -> Result<(), Exception> {
        let is_changed = change(&mut self.state.write().unwrap_or_else(poisoned))?;
        match is_changed {
            true => self.save().await,
            false => Ok(()),
        }
    }

    /// Saves the state, even if the caller has closed its connection.
    async fn save(self: &Arc<Self>) -> Result<(), Exception> {
        if self.file.is_none() {
            return Ok(());
        }
        let kms = Arc::clone(self);
        let saved = blocking_task(move || kms.write()).await;
        let failed = "KMS could not save its state. See the events of the simulator.";
        match saved {
            Ok(true) => Ok(()),
            _ => Err(ExceptionKind::KmsInternal.with_message(failed)),
        }
    }

    fn write(&self) -> bool {
        let Some(file) = &self.file else { return true };
        // The state is read under the lock of the file, so the last write has the last change.
        let file = file.lock().unwrap_or_else(poisoned);
        let text = self.read(|state| serde_json::to_vec(state).map(Zeroizing::new));
        let written = text
            .map_err(std::io::Error::from)
            .and_then(|text| file.write(&text));
        if let Err(error) = &written {
            let message = error.to_string();
            self.events
                .emit("state_not_kept", json!({ "error": message }), || {
                    format!("cannot write the state: {message}")
                });
        }
        written.is_ok()
    }

    /// Returns a link to a proxy.
    pub(super) fn link(&self, link_settings: LinkSettings) -> Result<ProxyLink, Exception> {
        let link = self.tls.link(link_settings);
        link.map_err(|error| ExceptionKind::KmsInternal.with_message(error.to_string()))
    }
}
