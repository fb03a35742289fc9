//! Changing a device's settings (PIN, token, sessions, profile, health key) while it serves.
//!
//! A second device is opened beside the first one, with the new settings. When it is usable it takes the first one's place, which answers
//! what it has been asked and is then closed. No request waits for any of this, and none is lost.
//!
//! # Invariants
//! - A device that serves is never given up for one that does not: with a wrong PIN or a token that is not there, the old settings stay
//!   in force, and the log says so.
//! - One change at a time; of several that wait, the newest counts.
//! - A token that is not trusted stays so under its new settings: a PIN file that is rotated must not put it to use again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::device::{Device, Hsm};
use super::settings::HsmSettings;
use super::trust::Trust;
use crate::ekm::KeyManager as _;
use crate::sync::{self, poisoned};

/// How long the device with the new settings may take to become usable.
const OPENING_PATIENCE: Duration = Duration::from_secs(10);

/// How long a device that was replaced is kept for those who still wait for its answer; no request waits longer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// How long closing it may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// How often it is looked whether something has happened.
const POLL: Duration = Duration::from_millis(10);

/// The settings that are to come, for the thread that brings them about.
#[derive(Default)]
pub(super) struct Wanted {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    settings: Option<HsmSettings>,
    /// Whether a thread is there that brings changes about.
    has_thread: bool,
    is_closed: bool,
}

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(poisoned)
    }

    /// Wants `settings`; says whether a thread is needed, because none is there.
    fn put(&self, settings: HsmSettings) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        state.settings = Some(settings);
        let is_first = !state.has_thread;
        state.has_thread = true;
        is_first
    }

    /// The newest settings, if any are wanted; else the thread that asks is done.
    fn take(&self) -> Option<HsmSettings> {
        let mut state = self.lock();
        let settings = state.settings.take().filter(|_| !state.is_closed);
        if settings.is_none() {
            state.has_thread = false;
            self.changed.notify_all();
        }
        settings
    }

    /// Whether the change that is being made is not wanted any more.
    fn is_outdated(&self) -> bool {
        let state = self.lock();
        state.settings.is_some() || state.is_closed
    }

    /// No more changes; waits for the one that is being made, and says whether it is over.
    pub(super) fn close(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        state.is_closed = true;
        let going_on = |state: &mut State| state.has_thread;
        let waited = self.changed.wait_timeout_while(state, patience, going_on);
        let (state, _) = waited.unwrap_or_else(poisoned);
        !state.has_thread
    }
}

impl Hsm {
    /// Gives the device other settings, in the background; see the rules above. The name and the module stay.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn change(self: &Arc<Self>, settings: HsmSettings) -> std::io::Result<()> {
        if !self.wanted.put(settings) {
            return Ok(());
        }
        let this = Arc::clone(self);
        let started = sync::thread(format!("hsm-{}-change", self.name), move || {
            while let Some(settings) = this.wanted.take() {
                this.bring_about(settings);
            }
        });
        started.map(drop).inspect_err(|_| drop(self.wanted.take()))
    }

    fn bring_about(&self, settings: HsmSettings) {
        let hsm = &self.name;
        let (trust, watch_list) = (self.trust_in(&settings), &self.watch_list);
        let new = match Device::start(settings, &self.modules, &self.metrics, trust, watch_list) {
            Ok(new) => new,
            Err(error) => return tracing::error!(%hsm, %error, "no thread for other settings"),
        };
        let is_decided =
            || new.shared.is_usable() || new.shared.opening_failed.load(Ordering::Acquire);
        wait_until(OPENING_PATIENCE, || {
            is_decided() || self.wanted.is_outdated()
        });
        if self.wanted.is_outdated() {
            new.stop(CLOSE_PATIENCE);
            return;
        }
        if self.is_usable() && !new.shared.is_usable() {
            let reason = new.shared.reason();
            tracing::error!(%hsm, reason, "the HSM does not open with its new settings; it goes on with the old ones");
            self.rejects_settings.store(true, Ordering::Relaxed);
            new.stop(CLOSE_PATIENCE);
            return;
        }
        self.take_over(new);
    }

    fn trust_in(&self, settings: &HsmSettings) -> Arc<Trust> {
        let current = self.current.load();
        match current.shared.settings.token == settings.token {
            true => Arc::clone(&current.shared.trust),
            false => Arc::default(),
        }
    }

    fn take_over(&self, new: Arc<Device>) {
        let old = self.current.load_full();
        old.shared.metrics.show(false);
        new.shared.metrics.show(true);
        drop(self.current.swap(new));
        self.rejects_settings.store(false, Ordering::Relaxed);
        tracing::info!(hsm = %self.name, "the HSM's new settings are in force");
        wait_until(ANSWER_PATIENCE, || Arc::strong_count(&old) == 1);
        if !old.stop(CLOSE_PATIENCE) {
            tracing::warn!(hsm = %self.name, "a thread hangs inside the HSM; it is abandoned");
        }
    }
}

fn wait_until(patience: Duration, done: impl Fn() -> bool) {
    let until = Instant::now() + patience;
    while !done() && Instant::now() < until {
        thread::sleep(POLL);
    }
}
