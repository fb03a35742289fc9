//! The result of the last check of an HSM.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::ekm::{Condition, DeviceReport};
use crate::sync::poisoned;

/// The maximum age of a result in a health answer (XKS API, GetHealthStatus).
const MAX_REPORT_AGE: Duration = Duration::from_secs(60);

/// The result of the last check of one HSM.
pub(in crate::hsm) struct LastCheck(Mutex<State>);

struct State {
    at: Option<Instant>,
    condition: Condition,
    vendor: String,
    model: String,
    /// Why the HSM does not serve, for the errors of rejected jobs.
    reason: Arc<str>,
}

impl LastCheck {
    /// No check yet.
    pub(in crate::hsm) fn none() -> Self {
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

    /// Publishes the result of a check.
    pub(in crate::hsm) fn publish(&self, condition: Condition, reason: &str) {
        let mut last = self.lock();
        last.at = Some(Instant::now());
        last.condition = condition;
        last.reason = reason.into();
    }

    /// Stores the manufacturer, and the product with its firmware version, as the token reports them.
    pub(in crate::hsm) fn identify(&self, vendor: &str, model: &str) {
        let mut last = self.lock();
        vendor.clone_into(&mut last.vendor);
        model.clone_into(&mut last.model);
    }

    /// The result of the last check. After [`MAX_REPORT_AGE`] the HSM counts as down.
    pub(in crate::hsm) fn report(&self, name: &Arc<str>) -> DeviceReport {
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

    /// The reason that was published last.
    pub(in crate::hsm) fn reason(&self) -> String {
        self.lock().reason.to_string()
    }

    /// Returns whether the last check failed. False before the first check.
    pub(in crate::hsm) fn has_failed(&self) -> bool {
        let last = self.lock();
        last.at.is_some() && last.condition == Condition::Down
    }
}
