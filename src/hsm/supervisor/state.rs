//! What the supervisor of an HSM knows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use super::retired::Retired;
use crate::hsm::life::Life;
use crate::hsm::post::Event;
use crate::hsm::shared::Shared;
use crate::hsm::workers::Workers;

/// Pauses before the next attempt to open. The first attempt is made at once: it restores a lost session. The last pause repeats. Trying is
/// cheap for the HSM, and KMS's customers wait for it.
const BACK_OFF: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(8),
];

/// A worker that has served for so long counts as stable: its next failure starts with the shortest pause. So an HSM that fails all the time
/// is opened once a second at most.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(1);

/// How often the supervisor looks at the clock.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The workers of one HSM.
pub(in crate::hsm) struct Supervisor {
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Workers,
    pub(super) events: UnboundedReceiver<Event>,
    pub(super) serving: Option<Serving>,
    pub(super) opening: Option<Opening>,
    pub(super) retired: Vec<Retired>,
    /// When the next attempt begins, if one is to come.
    pub(super) next_attempt: Option<(Instant, Purpose)>,
    /// Failures in a row.
    pub(super) failures: usize,
    /// Since when no worker serves, while jobs wait for one.
    pub(super) suspended_since: Option<Instant>,
    /// The settings of the configuration do not open the HSM: the last good ones are used.
    pub(super) rejected: Option<RejectedSettings>,
}

/// Settings that did not open the HSM beside a worker that serves with others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RejectedSettings {
    /// Failures in a row.
    pub failures: usize,
    /// Trying again cannot help until the configuration changes.
    pub is_final: bool,
}

/// A worker that serves.
pub(super) struct Serving {
    pub life: Arc<Life>,
    pub since: Instant,
}

/// What a worker is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// No worker serves.
    Serve,
    /// The settings are others.
    Settings,
    /// The settings are others, and the worker that served gave way, because the token does not serve two.
    SettingsAlone,
    /// The library's file is another one.
    Library,
    /// A session of the worker that serves hangs.
    Hang,
}

/// A worker that opens the token.
pub(super) struct Opening {
    pub life: Arc<Life>,
    pub began: Instant,
    pub purpose: Purpose,
}

impl Supervisor {
    pub(in crate::hsm) fn new(
        shared: Arc<Shared>,
        workers: Workers,
        events: UnboundedReceiver<Event>,
    ) -> Self {
        Self {
            shared,
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

    /// Whether a worker is to use the last good settings.
    pub(super) fn uses_last_good(&self, purpose: Purpose) -> bool {
        self.rejected.is_some() && !purpose.is_about_settings()
    }

    /// The new settings did not open the HSM: the last good ones stay in use.
    pub(super) fn reject_settings(&mut self, is_final: bool) {
        let rejected = self.rejected.get_or_insert_default();
        rejected.failures += 1;
        rejected.is_final = is_final;
        self.shared.rejects_settings.store(true, Ordering::Relaxed);
    }

    /// Whether settings were rejected and may open the HSM later. A PIN that the token rejected is not tried again.
    pub(super) fn may_retry_settings(&self) -> bool {
        self.rejected.is_some_and(|rejected| !rejected.is_final)
    }

    /// Tries rejected settings again after a pause, once a worker serves and nothing else is to be opened.
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

    /// Nothing more to try until the configuration changes.
    pub(super) fn rest(&mut self) {
        self.next_attempt = None;
        self.suspended_since = None;
        if let Some(opening) = self.opening.take() {
            self.retired.push(Retired::new(opening.life));
        }
    }

    pub(super) fn note_opened(&mut self, purpose: Purpose) {
        self.shared.metrics.count_open("opened");
        self.suspended_since = None;
        if purpose.is_about_settings() {
            self.rejected = None;
        }
        if self.rejected.is_none() {
            self.shared.rejects_settings.store(false, Ordering::Relaxed);
        }
    }
}

impl Purpose {
    /// Whether the settings of the configuration are to be tried.
    pub(super) fn is_about_settings(self) -> bool {
        matches!(self, Self::Settings | Self::SettingsAlone)
    }
}

fn pause_after(failures: usize) -> Duration {
    let pause = BACK_OFF.get(failures).or(BACK_OFF.last());
    pause.copied().unwrap_or_default()
}
