//! Opens the token with a new worker, and handles the result.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::retired::Retired;
use super::state::{Opening, Purpose, STABLE_AFTER, Serving, Supervisor, TIMER_INTERVAL};
use crate::hsm::events::NotOpened;
use crate::hsm::state::circuit_breaker::Phase;
use crate::hsm::worker::running::RunningWorker;
use crate::hsm_protocol::launch::SettingsChoice;

impl Supervisor {
    /// Starts a worker.
    pub(super) async fn open(&mut self, purpose: Purpose) {
        if self.serving.is_none() {
            self.state.enter(Phase::Probing);
        }
        let settings = self.state.settings.load_full();
        let sessions = u16::try_from(settings.sessions).unwrap_or(u16::MAX);
        let choice = match self.uses_last_good(purpose) {
            true => SettingsChoice::LastGood,
            false => SettingsChoice::Current,
        };
        let started = self.workers.start(&settings.name, sessions, choice).await;
        let running = started.and_then(|started| RunningWorker::begin(&self.state, started));
        match running {
            Ok(running) => {
                let held_keys = self.state.had_keys.load(Ordering::Relaxed);
                running.send_previous_results(held_keys, &self.state.proved_objects.all());
                running.expect(&self.state.expected_keys.load_full());
                self.opening = Some(Opening {
                    running,
                    began: Instant::now(),
                    purpose,
                });
            }
            Err(error) => {
                self.attempt_failed(purpose, NotOpened::because(format!("no worker: {error}")))
            }
        }
    }

    /// Lets the opening worker serve.
    pub(super) fn take_over(&mut self) {
        let Some(Opening {
            running, purpose, ..
        }) = self.opening.take()
        else {
            return;
        };
        if !self.state.take_over(&running.view) {
            self.retired.push(Retired::new(running));
            return self.stop_attempts();
        }
        running.process.good();
        let hsm = &self.state.name;
        match purpose {
            Purpose::Serve => {}
            Purpose::Settings | Purpose::SettingsAlone => {
                tracing::info!(%hsm, "the new settings of the HSM are active");
            }
            Purpose::Library => tracing::info!(%hsm, "the new library of the HSM is active"),
            Purpose::Hang => {
                tracing::warn!(%hsm, "a new worker has replaced the one that hangs");
            }
        }
        self.note_opened(purpose);
        let serving = Serving {
            running,
            since: Instant::now(),
        };
        if let Some(old) = self.serving.replace(serving) {
            self.retired.push(Retired::new(old.running));
        }
        self.retry_settings();
    }

    /// Handles a worker that could not open the token.
    pub(super) fn not_opened(&mut self, why: NotOpened) {
        if let Some(opening) = self.opening.take() {
            let purpose = opening.purpose;
            // Killed without closing its sessions, because its calls may hang.
            opening.running.process.kill();
            self.retired.push(Retired::new(opening.running));
            self.attempt_failed(purpose, why);
        }
    }

    fn attempt_failed(&mut self, purpose: Purpose, why: NotOpened) {
        self.state.metrics.count_open("failed");
        if !self.state.trust.is_kept() {
            return self.stop_attempts();
        }
        match (self.serving.take(), purpose) {
            (None, _) => self.give_up(purpose, &why),
            (Some(serving), _) if why.is_limit && self.may_interrupt_service(purpose) => {
                // The token does not have enough sessions for two workers, so the old one ends first.
                self.state.suspend(serving.running.number(), &why.reason);
                self.suspended_since = Some(Instant::now());
                self.retired.push(Retired::new(serving.running));
                let purpose = match purpose {
                    Purpose::Settings => Purpose::SettingsAlone,
                    purpose => purpose,
                };
                self.attempt_after(TIMER_INTERVAL, purpose);
            }
            (Some(serving), Purpose::Settings | Purpose::SettingsAlone) => {
                self.serving = Some(serving);
                self.reject_settings(why.is_final);
                let (hsm, reason) = (&self.state.name, &why.reason);
                tracing::error!(%hsm, reason, "the HSM cannot be opened with its new settings; the old ones stay active");
                self.retry_settings();
            }
            (Some(serving), _) => {
                self.serving = Some(serving);
                let (hsm, reason) = (&self.state.name, &why.reason);
                tracing::error!(%hsm, reason, "a new worker cannot open the HSM; the old one keeps serving");
                self.failures += 1;
                self.attempt_after(self.pause().max(STABLE_AFTER), purpose);
            }
        }
    }

    /// Returns whether the serving worker may end before the new one has opened the token. Not for settings that failed before: then the HSM would be
    /// interrupted at each attempt.
    fn may_interrupt_service(&self, purpose: Purpose) -> bool {
        self.rejected.is_none() || !purpose.is_about_settings()
    }

    fn give_up(&mut self, purpose: Purpose, why: &NotOpened) {
        let (hsm, error) = (&self.state.name, &why.reason);
        tracing::error!(%hsm, %error, "the HSM cannot be opened");
        self.suspended_since = None;
        self.state.close(&why.reason);
        let served_before = purpose == Purpose::SettingsAlone || self.rejected.is_some();
        if purpose.is_about_settings() && served_before {
            // The HSM could be opened with the old settings.
            self.reject_settings(why.is_final);
        }
        if why.is_final && self.rejected.is_none() {
            return self.stop_attempts();
        }
        self.failures += 1;
        self.attempt_after(self.pause(), Purpose::Serve);
    }
}
