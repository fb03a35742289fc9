//! The state of the supervisor of an HSM.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use super::retired::Retired;
use crate::hsm::events::Event;
use crate::hsm::launcher_client::Workers;
use crate::hsm::state::HsmState;
use crate::hsm::worker::running::RunningWorker;

/// The pauses before an attempt to open the HSM, by the number of failures in a row. The last one repeats. They are short, because an
/// attempt costs the HSM little and requests fail until it succeeds.
const BACK_OFF: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(8),
];

/// The time after which a serving worker counts as stable. The next failure of a stable worker has the shortest pause. Thus an HSM that
/// keeps failing is opened at most once per second.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(1);

/// The interval between two checks of timeouts.
pub(super) const TIMER_INTERVAL: Duration = Duration::from_millis(50);

/// The workers of one HSM.
pub(in crate::hsm) struct Supervisor {
    pub(super) state: Arc<HsmState>,
    pub(super) workers: Workers,
    pub(super) events: UnboundedReceiver<Event>,
    pub(super) serving: Option<Serving>,
    pub(super) opening: Option<Opening>,
    pub(super) retired: Vec<Retired>,
    /// The time and the purpose of the next attempt, if one is scheduled.
    pub(super) next_attempt: Option<(Instant, Purpose)>,
    /// Failures in a row.
    pub(super) failures: usize,
    /// The time since which jobs wait for a new worker.
    pub(super) suspended_since: Option<Instant>,
    /// Set if the HSM cannot be opened with the settings of the configuration. The last good settings are used instead.
    pub(super) rejected: Option<RejectedSettings>,
}

/// New settings with which the HSM could not be opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RejectedSettings {
    /// Failures in a row.
    pub failures: usize,
    /// True if further attempts are useless until the configuration changes.
    pub is_final: bool,
}

/// The serving worker.
pub(super) struct Serving {
    pub running: Arc<RunningWorker>,
    pub since: Instant,
}

/// Why a new worker is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// No worker serves.
    Serve,
    /// The settings have changed.
    Settings,
    /// The settings have changed, and the serving worker has ended because the token does not have enough sessions for two workers.
    SettingsAlone,
    /// The file of the library was replaced.
    Library,
    /// A session of the serving worker hangs.
    Hang,
}

/// A worker that opens the token.
pub(super) struct Opening {
    pub running: Arc<RunningWorker>,
    pub began: Instant,
    pub purpose: Purpose,
}

impl Supervisor {
    pub(in crate::hsm) fn new(
        state: Arc<HsmState>,
        workers: Workers,
        events: UnboundedReceiver<Event>,
    ) -> Self {
        Self {
            state,
            workers,
            events,
            serving: None,
            opening: None,
            retired: Vec::new(),
            next_attempt: Some((Instant::now(), Purpose::Serve)),
            failures: 0,
            suspended_since: None,
            rejected: None,
        }
    }

    pub(super) fn pause(&self) -> Duration {
        pause_after(self.failures)
    }

    /// Returns whether a worker must use the last good settings.
    pub(super) fn uses_last_good(&self, purpose: Purpose) -> bool {
        self.rejected.is_some() && !purpose.is_about_settings()
    }

    /// Notes that the HSM cannot be opened with the new settings. The last good ones stay active.
    pub(super) fn reject_settings(&mut self, is_final: bool) {
        let rejected = self.rejected.get_or_insert_default();
        rejected.failures += 1;
        rejected.is_final = is_final;
        self.state.rejects_settings.store(true, Ordering::Relaxed);
    }

    /// Returns whether rejected settings may be tried again. A PIN that the token rejected is not tried again.
    pub(super) fn may_retry_settings(&self) -> bool {
        self.rejected.is_some_and(|rejected| !rejected.is_final)
    }

    /// Schedules another attempt with rejected settings, if a worker serves and no other attempt is scheduled.
    pub(super) fn retry_settings(&mut self) {
        if let Some(rejected) = self.rejected
            && self.may_retry_settings()
            && self.serving.is_some()
            && self.next_attempt.is_none()
        {
            let pause = pause_after(rejected.failures).max(STABLE_AFTER);
            self.attempt_after(pause, Purpose::Settings);
        }
    }

    pub(super) fn attempt_after(&mut self, pause: Duration, purpose: Purpose) {
        if self.opening.is_none() {
            self.next_attempt = Some((Instant::now() + pause, purpose));
        }
    }

    /// Stops all attempts until the configuration changes.
    pub(super) fn stop_attempts(&mut self) {
        self.next_attempt = None;
        self.suspended_since = None;
        if let Some(opening) = self.opening.take() {
            self.retired.push(Retired::new(opening.running));
        }
    }

    pub(super) fn note_opened(&mut self, purpose: Purpose) {
        self.state.metrics.count_open("opened");
        self.suspended_since = None;
        if purpose.is_about_settings() {
            self.rejected = None;
        }
        if self.rejected.is_none() {
            self.state.rejects_settings.store(false, Ordering::Relaxed);
        }
    }
}

impl Purpose {
    /// Returns whether the worker must use the settings of the configuration.
    pub(super) fn is_about_settings(self) -> bool {
        matches!(self, Self::Settings | Self::SettingsAlone)
    }
}

fn pause_after(failures: usize) -> Duration {
    let pause = BACK_OFF.get(failures).or(BACK_OFF.last());
    pause.copied().unwrap_or_default()
}
