//! A worker that opens the token.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::retired::Retired;
use super::state::{LOOK_EVERY, Opening, Purpose, STABLE_AFTER, Serving, Supervisor};
use crate::hsm::life::Life;
use crate::hsm::phase::Phase;
use crate::hsm::post::NotOpened;
use crate::hsm_protocol::launch::SettingsChoice;

impl Supervisor {
    /// Starts a worker.
    pub(super) async fn open(&mut self, purpose: Purpose) {
        if self.serving.is_none() {
            self.shared.enter(Phase::Probing);
        }
        let settings = self.shared.settings.load_full();
        let sessions = u16::try_from(settings.sessions).unwrap_or(u16::MAX);
        let choice = match self.uses_last_good(purpose) {
            true => SettingsChoice::LastGood,
            false => SettingsChoice::Current,
        };
        let started = self.workers.start(&settings.name, sessions, choice).await;
        let life = started.and_then(|started| Life::begin(&self.shared, started));
        match life {
            Ok(life) => {
                let held_keys = self.shared.had_keys.load(Ordering::Relaxed);
                life.brief(held_keys, &self.shared.proofs.all());
                life.expect(&self.shared.expected_keys.load_full());
                self.opening = Some(Opening {
                    life,
                    began: Instant::now(),
                    purpose,
                });
            }
            Err(error) => self.refused(purpose, NotOpened::because(format!("no worker: {error}"))),
        }
    }

    /// The worker that was being opened serves from now on.
    pub(super) fn take_over(&mut self) {
        let Some(Opening { life, purpose, .. }) = self.opening.take() else {
            return;
        };
        if !self.shared.take_over(&life.crew) {
            self.retired.push(Retired::new(life));
            return self.rest();
        }
        life.process.good();
        let hsm = &self.shared.name;
        match purpose {
            Purpose::Serve => {}
            Purpose::Settings | Purpose::SettingsAlone => {
                tracing::info!(%hsm, "the HSM's new settings are in force");
            }
            Purpose::Library => tracing::info!(%hsm, "the HSM's new library is in use"),
            Purpose::Hang => {
                tracing::warn!(%hsm, "another worker has taken over from the one that hangs");
            }
        }
        self.note_opened(purpose);
        let serving = Serving {
            life,
            since: Instant::now(),
        };
        if let Some(old) = self.serving.replace(serving) {
            self.retired.push(Retired::new(old.life));
        }
        self.retry_settings();
    }

    /// The worker that was being opened could not open the token.
    pub(super) fn not_opened(&mut self, why: NotOpened) {
        if let Some(opening) = self.opening.take() {
            let purpose = opening.purpose;
            // Its calls may hang: it is not asked to close anything.
            opening.life.process.kill();
            self.retired.push(Retired::new(opening.life));
            self.refused(purpose, why);
        }
    }

    fn refused(&mut self, purpose: Purpose, why: NotOpened) {
        self.shared.metrics.count_open("failed");
        if !self.shared.trust.is_kept() {
            return self.rest();
        }
        match (self.serving.take(), purpose) {
            (None, _) => self.give_up(purpose, &why),
            (Some(serving), _) if why.is_limit && self.may_give_way(purpose) => {
                // The token does not serve two workers at once: this one gives way.
                self.shared.suspend(serving.life.worker(), &why.reason);
                self.suspended_since = Some(Instant::now());
                self.retired.push(Retired::new(serving.life));
                let purpose = match purpose {
                    Purpose::Settings => Purpose::SettingsAlone,
                    purpose => purpose,
                };
                self.attempt_after(LOOK_EVERY, purpose);
            }
            (Some(serving), Purpose::Settings | Purpose::SettingsAlone) => {
                self.serving = Some(serving);
                self.reject_settings(why.is_final);
                let (hsm, reason) = (&self.shared.name, &why.reason);
                tracing::error!(%hsm, reason, "the HSM does not open with its new settings; it goes on with the old ones");
                self.retry_settings();
            }
            (Some(serving), _) => {
                self.serving = Some(serving);
                let (hsm, reason) = (&self.shared.name, &why.reason);
                tracing::error!(%hsm, reason, "another worker cannot open the HSM; the old one goes on");
                self.failures += 1;
                self.attempt_after(self.pause().max(STABLE_AFTER), purpose);
            }
        }
    }

    /// Settings that were rejected are tried beside the worker that serves, or not at all: it does not give way to them again and again.
    fn may_give_way(&self, purpose: Purpose) -> bool {
        self.rejected.is_none() || !purpose.is_about_settings()
    }

    fn give_up(&mut self, purpose: Purpose, why: &NotOpened) {
        let (hsm, error) = (&self.shared.name, &why.reason);
        tracing::error!(%hsm, %error, "the HSM cannot be opened");
        self.suspended_since = None;
        self.shared.close_door(&why.reason);
        let served_before = purpose == Purpose::SettingsAlone || self.rejected.is_some();
        if purpose.is_about_settings() && served_before {
            // The old settings did open it.
            self.reject_settings(why.is_final);
        }
        if why.is_final && self.rejected.is_none() {
            return self.rest();
        }
        self.failures += 1;
        self.attempt_after(self.pause(), Purpose::Serve);
    }
}
