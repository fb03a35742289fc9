//! The metrics of HSMs.

use std::sync::{Arc, Mutex};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::hsm::state::circuit_breaker::Phase;
use crate::metrics::{Metrics, MetricsError};
use crate::sync::poisoned;

/// A transition of the circuit breaker of an HSM. The states are `new`, `probing`, `usable`, `failed` and `untrusted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange<'a> {
    /// The name of the HSM.
    pub hsm: &'a str,
    /// The state before.
    pub from: &'a str,
    /// The state now.
    pub to: &'a str,
}

/// A callback for each [`StateChange`]. It is called under locks, so it must not block and must not call the HSM.
pub type StateWatcher = Arc<dyn Fn(&StateChange<'_>) + Send + Sync>;

/// The metric families, with one set of labels per HSM.
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
    /// Declares the metrics. `watcher` is called at each transition.
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
                "1 if the HSM is usable; otherwise 0.",
                &["hsm"],
            )?,
            untrusted: metrics.gauge(
                "xks_hsm_untrusted",
                "1 if the HSM is excluded because it returned a wrong result; otherwise 0.",
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

    /// The metrics of one HSM.
    pub(super) fn for_hsm(&self, name: &str) -> DeviceMetrics {
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

    /// Removes the gauges of an HSM whose `[[hsm]]` was removed from the configuration.
    pub(super) fn forget(&self, name: &str) {
        let gauges = [
            &self.sessions,
            &self.usable,
            &self.untrusted,
            &self.depth,
            &self.lost,
        ];
        for gauge in gauges {
            // An error means that the gauge does not exist.
            drop(gauge.remove_label_values(&[name]));
        }
    }
}

/// The last state of the circuit breaker.
struct State {
    phase: Option<Phase>,
    /// True if this HSM publishes its state. Two HSMs may have the same name while one replaces the other.
    is_shown: bool,
}

/// The metrics of one operation of one HSM.
pub(super) struct OperationMetrics {
    /// The time that the HSM worked on jobs.
    pub seconds: Histogram,
    /// The number of calls of the HSM.
    pub calls: IntCounter,
}

/// The metrics of one HSM.
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
    /// Sets the state of the circuit breaker. Counts and logs a change.
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

    /// Sets whether this HSM publishes its state under its name.
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

    /// Sets the number of open sessions.
    pub(super) fn set_sessions(&self, sessions: usize) {
        let state = self.state.lock().unwrap_or_else(poisoned);
        if state.is_shown {
            self.sessions
                .set(i64::try_from(sessions).unwrap_or(i64::MAX));
        }
    }

    /// Sets the number of hanging sessions.
    pub(super) fn set_lost(&self, lost: usize) {
        let state = self.state.lock().unwrap_or_else(poisoned);
        if state.is_shown {
            self.lost.set(i64::try_from(lost).unwrap_or(i64::MAX));
        }
    }

    /// Counts a job that failed because of its key. `code` is the label that the worker reported.
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
