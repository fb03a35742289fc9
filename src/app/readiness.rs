//! Readiness: the listeners are bound, at least one HSM is usable, the audit trail can be written if answers require it, and the proxy is
//! not draining.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::auditor::Auditor;
use super::devices::Devices;
use crate::ekm::KeyManager as _;

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

/// The phase of the process: starting, serving or draining.
pub(super) struct Phase(AtomicU8);

impl Phase {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(STARTING)))
    }

    pub(super) fn serving(&self) {
        self.0.store(SERVING, Ordering::Release);
    }

    pub(super) fn draining(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    /// Returns whether the proxy is stopping.
    pub(super) fn is_draining(&self) -> bool {
        self.0.load(Ordering::Acquire) == DRAINING
    }

    /// Returns the reason if the proxy is not ready.
    pub(super) fn readiness(&self, devices: &Devices, auditor: &Auditor) -> Result<(), String> {
        match self.0.load(Ordering::Acquire) {
            SERVING if auditor.rejects_requests() => {
                Err("the audit trail cannot be written".to_owned())
            }
            SERVING if devices.any(|hsm| hsm.is_usable()) => Ok(()),
            SERVING => Err("no HSM is usable".to_owned()),
            STARTING => Err("starting".to_owned()),
            _ => Err("draining".to_owned()),
        }
    }
}
