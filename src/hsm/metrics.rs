//! The metrics of all devices.

use std::sync::{Arc, Mutex};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::phase::Phase;
use crate::metrics::{Metrics, MetricsError};
use crate::sync::poisoned;

/// A device's breaker has gone from one state (`new`, `probing`, `usable`, `failed`, `untrusted`) to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange<'a> {
    /// The device's name.
    pub hsm: &'a str,
    /// The state before.
    pub from: &'a str,
    /// The state now.
    pub to: &'a str,
}

/// Who is told of every [`StateChange`]; must not block.
pub type StateWatcher = Arc<dyn Fn(&StateChange<'_>) + Send + Sync>;

/// The families; one label set per device.
#[derive(Clone)]
pub struct HsmMetrics {
    watcher: StateWatcher,
    queue: HistogramVec,
    device: HistogramVec,
    calls: IntCounterVec,
    sessions: IntGaugeVec,
    usable: IntGaugeVec,
    untrusted: IntGaugeVec,
    depth: IntGaugeVec,
    opened: IntCounterVec,
    checks: IntCounterVec,
    transitions: IntCounterVec,
    lost: IntGaugeVec,
    key_failures: IntCounterVec,
}

impl HsmMetrics {
    /// Declares them; `watcher` is told what the transitions are.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is taken.
    #[expect(clippy::too_many_lines, reason = "a table of metrics")]
    pub fn declare(metrics: &Metrics, watcher: StateWatcher) -> Result<Self, MetricsError> {
        Ok(Self {
            watcher,
            queue: metrics.latency(
                "xks_hsm_queue_seconds",
                "Time that jobs spent in the queue of the HSM.",
                &["hsm"],
            )?,
            device: metrics.latency(
                "xks_hsm_device_seconds",
                "Time that the HSM spent on jobs.",
                &["hsm", "operation"],
            )?,
            calls: metrics.counter(
                "xks_hsm_calls_total",
                "Operations sent to the HSM, including repeated ones, without health checks.",
                &["hsm", "operation"],
            )?,
            sessions: metrics.gauge(
                "xks_hsm_sessions",
                "PKCS#11 sessions of the active worker, including the session for login and health checks. 0 without an active worker.",
                &["hsm"],
            )?,
            usable: metrics.gauge(
                "xks_hsm_usable",
                "Whether the HSM is usable (1) or not (0).",
                &["hsm"],
            )?,
            untrusted: metrics.gauge(
                "xks_hsm_untrusted",
                "Whether the HSM is excluded because it returned a wrong result (1) or not (0).",
                &["hsm"],
            )?,
            depth: metrics.gauge(
                "xks_hsm_queue_depth",
                "Jobs in the queue of the HSM.",
                &["hsm"],
            )?,
            opened: metrics.counter(
                "xks_hsm_open_attempts_total",
                "Attempts of workers to open the HSM, by outcome (opened, failed).",
                &["hsm", "outcome"],
            )?,
            checks: metrics.counter(
                "xks_hsm_health_checks_total",
                "Deep health checks of the HSM, by outcome (ok, impaired, failed).",
                &["hsm", "outcome"],
            )?,
            transitions: metrics.counter(
                "xks_hsm_transitions_total",
                "Transitions of the HSM's circuit breaker, by new state (probing, usable, failed, untrusted). The replacement of an active worker is not counted.",
                &["hsm", "to"],
            )?,
            lost: metrics.gauge(
                "xks_hsm_lost_threads",
                "Sessions that hang in a call of the PKCS#11 library, until their worker ends.",
                &["hsm"],
            )?,
            key_failures: metrics.counter(
                "xks_hsm_key_failures_total",
                "Jobs that failed because the HSM rejected their key, by return code of the HSM (CKR_ name, vendor, unknown, other).",
                &["hsm", "code"],
            )?,
        })
    }

    /// The children of one device, looked up once.
    pub(super) fn of_device(&self, name: &str) -> DeviceMetrics {
        let operation = |operation| OperationMetrics {
            seconds: self.device.with_label_values(&[name, operation]),
            calls: self.calls.with_label_values(&[name, operation]),
        };
        DeviceMetrics {
            queue: self.queue.with_label_values(&[name]),
            encrypt: operation("encrypt"),
            decrypt: operation("decrypt"),
            describe: operation("metadata"),
            sessions: self.sessions.with_label_values(&[name]),
            usable: self.usable.with_label_values(&[name]),
            untrusted: self.untrusted.with_label_values(&[name]),
            depth: self.depth.with_label_values(&[name]),
            opened: self.opened.clone(),
            checks: self.checks.clone(),
            transitions: self.transitions.clone(),
            lost: self.lost.with_label_values(&[name]),
            key_failures: self.key_failures.clone(),
            state: Mutex::new(State {
                phase: None,
                is_shown: false,
            }),
            name: name.to_owned(),
            watcher: Arc::clone(&self.watcher),
        }
    }

    /// Takes the gauges of a device away that is no longer configured.
    pub(super) fn forget(&self, name: &str) {
        let gauges = [
            &self.sessions,
            &self.usable,
            &self.untrusted,
            &self.depth,
            &self.lost,
        ];
        for gauge in gauges {
            // It is gone either way.
            drop(gauge.remove_label_values(&[name]));
        }
    }
}

/// What the breaker was last said to be.
struct State {
    phase: Option<Phase>,
    /// Of two devices of one name, while one takes over from the other, the one that serves shows its state.
    is_shown: bool,
}

/// The metrics of one operation on one device.
pub(super) struct OperationMetrics {
    /// How long a job took.
    pub seconds: Histogram,
    /// How often the device was called for it.
    pub calls: IntCounter,
}

/// One device's metrics.
pub(super) struct DeviceMetrics {
    pub queue: Histogram,
    pub encrypt: OperationMetrics,
    pub decrypt: OperationMetrics,
    pub describe: OperationMetrics,
    sessions: IntGauge,
    usable: IntGauge,
    untrusted: IntGauge,
    pub depth: IntGauge,
    lost: IntGauge,
    transitions: IntCounterVec,
    state: Mutex<State>,
    opened: IntCounterVec,
    checks: IntCounterVec,
    key_failures: IntCounterVec,
    name: String,
    watcher: StateWatcher,
}

impl DeviceMetrics {
    /// Notes the state of the breaker; a change is counted and logged.
    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.state.lock().unwrap_or_else(poisoned);
        let from = state.phase.replace(phase);
        if from == Some(phase) || !state.is_shown {
            return;
        }
        self.show_phase(Some(phase));
        self.transitions
            .with_label_values(&[&*self.name, phase.as_str()])
            .inc();
        let (hsm, to) = (&self.name, phase.as_str());
        let from = from.map_or("new", Phase::as_str);
        tracing::info!(hsm, from, to, "the HSM's state has changed");
        (self.watcher)(&StateChange { hsm, from, to });
    }

    /// From now on, or no longer, this is the device of its name.
    pub(super) fn show(&self, is_shown: bool) {
        let mut state = self.state.lock().unwrap_or_else(poisoned);
        state.is_shown = is_shown;
        if is_shown {
            self.show_phase(state.phase);
        }
    }

    fn show_phase(&self, phase: Option<Phase>) {
        self.usable.set(i64::from(phase == Some(Phase::Usable)));
        self.untrusted
            .set(i64::from(phase == Some(Phase::Untrusted)));
    }

    /// How many sessions are open now.
    pub(super) fn set_sessions(&self, sessions: usize) {
        let state = self.state.lock().unwrap_or_else(poisoned);
        if state.is_shown {
            self.sessions
                .set(i64::try_from(sessions).unwrap_or(i64::MAX));
        }
    }

    /// How many sessions hang now.
    pub(super) fn set_lost(&self, lost: usize) {
        let state = self.state.lock().unwrap_or_else(poisoned);
        if state.is_shown {
            self.lost.set(i64::try_from(lost).unwrap_or(i64::MAX));
        }
    }

    /// Counts a job that failed because of its key, by the return code as the worker names it.
    pub(super) fn count_key_failure(&self, code: &str) {
        let labels = [self.name.as_str(), code];
        self.key_failures.with_label_values(&labels).inc();
    }

    pub(super) fn count_open(&self, outcome: &str) {
        self.opened.with_label_values(&[&self.name, outcome]).inc();
    }

    pub(super) fn count_check(&self, outcome: &str) {
        self.checks.with_label_values(&[&self.name, outcome]).inc();
    }
}
