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
        let choice = match self.uses_last_good {
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
            Purpose::Settings => tracing::info!(%hsm, "the HSM's new settings are in force"),
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
            (None, Purpose::Settings | Purpose::Serve | Purpose::Library | Purpose::Hang) => {
                self.give_up(&why);
            }
            (Some(serving), _) if why.is_limit => {
                // The token does not serve two workers at once: this one gives way.
                self.shared.suspend(serving.life.worker(), &why.reason);
                self.suspended_since = Some(Instant::now());
                self.retired.push(Retired::new(serving.life));
                self.attempt_after(LOOK_EVERY, purpose);
            }
            (Some(serving), Purpose::Settings) => {
                self.serving = Some(serving);
                self.uses_last_good = true;
                self.shared.rejects_settings.store(true, Ordering::Relaxed);
                let (hsm, reason) = (&self.shared.name, &why.reason);
                tracing::error!(%hsm, reason, "the HSM does not open with its new settings; it goes on with the old ones");
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

    fn give_up(&mut self, why: &NotOpened) {
        let (hsm, error) = (&self.shared.name, &why.reason);
        tracing::error!(%hsm, %error, "the HSM cannot be opened");
        self.suspended_since = None;
        self.shared.close_door(&why.reason);
        if why.is_final && !self.uses_last_good {
            return self.rest();
        }
        self.failures += 1;
        self.attempt_after(self.pause(), Purpose::Serve);
    }
}
