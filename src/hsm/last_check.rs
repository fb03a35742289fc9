//! What the last check of a device found.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::ekm::{Condition, DeviceReport};
use crate::sync::poisoned;

/// No health answer is older than this (XKS API, GetHealthStatus).
const MAX_REPORT_AGE: Duration = Duration::from_secs(60);

/// The last check of one device.
pub(super) struct LastCheck(Mutex<State>);

struct State {
    at: Option<Instant>,
    condition: Condition,
    vendor: String,
    model: String,
    /// Why the device does not serve, for the errors of jobs that are refused.
    reason: Arc<str>,
}

impl LastCheck {
    /// No check yet.
    pub(super) fn none() -> Self {
        Self(Mutex::new(State {
            at: None,
            condition: Condition::Down,
            vendor: String::new(),
            model: String::new(),
            reason: "it has not been opened yet".into(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(poisoned)
    }

    /// Publishes what a check found.
    pub(super) fn publish(&self, condition: Condition, reason: &str) {
        let mut last = self.lock();
        last.at = Some(Instant::now());
        last.condition = condition;
        last.reason = reason.into();
    }

    /// What the token says of itself: its manufacturer; product and firmware.
    pub(super) fn identify(&self, vendor: &str, model: &str) {
        let mut last = self.lock();
        vendor.clone_into(&mut last.vendor);
        model.clone_into(&mut last.model);
    }

    /// What the last check found; a check that is too old counts as none.
    pub(super) fn report(&self, name: &Arc<str>) -> DeviceReport {
        let last = self.lock();
        let fresh = last.at.is_some_and(|at| at.elapsed() <= MAX_REPORT_AGE);
        DeviceReport {
            name: Arc::clone(name),
            vendor: last.vendor.clone(),
            model: last.model.clone(),
            condition: match fresh {
                true => last.condition,
                false => Condition::Down,
            },
        }
    }

    /// Why the device does not serve, as last published.
    pub(super) fn reason(&self) -> String {
        self.lock().reason.to_string()
    }

    /// Whether the device is known not to serve; not known is not failed.
    pub(super) fn has_failed(&self) -> bool {
        let last = self.lock();
        last.at.is_some() && last.condition == Condition::Down
    }
}
