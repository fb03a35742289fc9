//! The keeper of one opening of a device: opens the token, starts the owners, holds one session (and with it the login) and checks
//! the device's health again and again.
//!
//! It is the keeper that waits when the device hangs at its opening or in a check, never the supervisor.

use std::sync::{Arc, RwLock};
use std::time::Instant;

use super::errors::CallError;
use super::ffi::Session;
use super::gcm::Gcm;
use super::health::{Checked, Checker, KeyProofs};
use super::keys::KeyTable;
use super::module::{Modules, OpenDevice};
use super::owner::{Opening, Owner};
use super::probe::Probe;
use super::profile;
use super::proofs::{Hold, Proofs};
use super::queue::Generation;
use super::shared::Shared;
use super::token::{self, OpenError, TokenIdentity};
use crate::ekm::Condition;
use crate::sync::{poisoned, thread};

/// A keeper with what it has opened.
struct Keeper {
    shared: Arc<Shared>,
    opening: Arc<Opening>,
    identity: TokenIdentity,
    gcm: Gcm,
    // Dropped in this order: the last session, which holds the login, before the device counts as closed.
    session: Session,
    _open: OpenDevice,
    proofs: Proofs,
}

/// Starts a keeper for `generation`. It reports how the opening went, and ends with the generation.
pub(super) fn start(
    shared: &Arc<Shared>,
    modules: &Modules,
    generation: Generation,
) -> std::io::Result<()> {
    let name = format!("hsm-{}-keeper", shared.settings.name);
    let (for_thread, modules) = (Arc::clone(shared), modules.clone());
    shared.keeper_started();
    let started = thread(name, move || {
        keep(&for_thread, &modules, generation);
        for_thread.keeper_ended();
    });
    started.map(drop).inspect_err(|_| shared.keeper_ended())
}

fn keep(shared: &Arc<Shared>, modules: &Modules, generation: Generation) {
    match Keeper::open(shared, modules, generation) {
        Ok(keeper) => keeper.run(),
        Err(error) => shared.report_opening(generation, Err(error)),
    }
}

impl Keeper {
    fn open(
        shared: &Arc<Shared>,
        modules: &Modules,
        generation: Generation,
    ) -> Result<Self, OpenError> {
        let settings = &shared.settings;
        let module = modules.open(&settings.module, settings.parameters.as_ref())?;
        let (mut slot, identity) = token::find(&module, &settings.token)?;
        let mechanisms = token::gcm_mechanisms(&module, slot, &identity)?;
        let pin = settings.pin.as_ref();
        token::check_pin(&identity, pin)?;
        let session = slot.open_first_session(&module)?;
        token::log_in(&session, pin)?;
        let keys = KeyTable::sweep(&session)?.expecting_login(pin.is_some());
        keys.log_unreadable(&settings.name);
        shared.check_keys(&keys)?;
        let plans = profile::candidates(settings.gcm_profile, &identity, &mechanisms);
        let probe = Probe {
            module: &module,
            slot,
            keys: &keys,
        };
        let (plan, checked) = probe.choose(&plans, &settings.health_key)?;
        let open = module.device_opened();
        let gcm = Gcm::new(plan);
        let opening = Opening {
            generation,
            module,
            slot,
            plan,
            keys,
            known_good: RwLock::new(None),
            key_proofs: KeyProofs::default(),
        };
        let proofs = Proofs::new(&opening, format!("{identity:?} {plan}"));
        let keeper = Self {
            shared: Arc::clone(shared),
            proofs,
            opening: Arc::new(opening),
            identity,
            gcm,
            session,
            _open: open,
        };
        keeper.publish(checked);
        Ok(keeper)
    }

    fn run(mut self) {
        let (shared, generation) = (Arc::clone(&self.shared), self.opening.generation);
        let interval = shared.settings.health_interval;
        shared.metrics.sessions.inc();
        match self.start_owners() {
            Ok(sessions) => {
                let (hsm, TokenIdentity { vendor, model, .. }) =
                    (&shared.settings.name, &self.identity);
                let profile = self.opening.plan.to_string();
                tracing::info!(%hsm, vendor, model, profile, sessions, "the HSM is usable");
                shared.report_opening(generation, Ok(()));
            }
            Err(error) => shared.report_opening(generation, Err(error)),
        }
        let mut due = Instant::now() + interval;
        while !self.is_over(due) {
            match Instant::now() >= due {
                true => {
                    self.check();
                    due = Instant::now() + interval;
                }
                false => self.with_proofs(Proofs::next),
            }
        }
        drop(self);
        shared.metrics.sessions.dec();
    }

    /// Waits until the generation is over, a check is due or a key is to be proved; says whether it is over.
    fn is_over(&self, due: Instant) -> bool {
        let is_work = || self.proofs.has_work(&self.shared);
        let left = due.saturating_duration_since(Instant::now());
        let generation = self.opening.generation;
        self.shared.wait_for_end(generation, left, is_work)
    }

    fn with_proofs(&mut self, work: impl FnOnce(&mut Proofs, &mut Hold<'_>)) {
        let mut hold = Hold {
            shared: &self.shared,
            opening: &self.opening,
            session: &mut self.session,
            gcm: &mut self.gcm,
        };
        work(&mut self.proofs, &mut hold);
    }

    /// Opens a session per owner; fewer than configured, if the token has no more, but at least one.
    fn start_owners(&self) -> Result<usize, OpenError> {
        let wanted = self.shared.settings.sessions;
        let mut sessions: Vec<Session> = Vec::with_capacity(wanted);
        while sessions.len() < wanted {
            match self.opening.slot.open_session(&self.opening.module) {
                Ok(session) => sessions.push(session),
                Err(error) if sessions.is_empty() => return Err(error.into()),
                Err(error) => {
                    let (hsm, sessions) = (&self.shared.settings.name, sessions.len());
                    tracing::warn!(%hsm, %error, sessions, wanted, "the token gives fewer sessions than configured");
                    break;
                }
            }
        }
        let started = sessions.len();
        if !self.shared.open_door(&self.opening) {
            return Err(OpenError::Hangs);
        }
        for session in sessions {
            Owner::start(&self.shared, &self.opening, Some(session))?;
        }
        Ok(started)
    }

    /// Checks the device; a session that was lost meanwhile is opened again first.
    fn check(&mut self) {
        let started = Instant::now();
        let outcome = match self.check_once() {
            Err(error) if error.is_about_the_session() => {
                self.heal().and_then(|()| self.check_once())
            }
            outcome => outcome,
        };
        match outcome {
            Ok(checked) => {
                // Two device calls: half of it is what a job would take.
                self.shared.load.learn(started.elapsed() / 2);
                self.publish(checked);
                self.with_proofs(Proofs::after_check);
                self.shared.key_failures.forget_old(Instant::now());
            }
            Err(error) => {
                self.shared.metrics.count_check("failed");
                self.proofs.pause();
                if let OpenError::Crypto(CallError::Wrong(violation)) = error {
                    self.shared.distrust(self.opening.generation, violation);
                }
                let reason = format!("the health check failed: {error}");
                self.shared.report_fatal(self.opening.generation, reason);
            }
        }
    }

    fn check_once(&mut self) -> Result<Checked, OpenError> {
        let mut checker = Checker {
            session: &self.session,
            gcm: &mut self.gcm,
        };
        let (settings, history) = (&self.shared.settings, &self.shared.trust.history);
        let checked = checker.check(&self.opening.keys, &settings.health_key, history)?;
        if matches!(checked, Checked::KeyUnfit(_)) {
            // Is it the health key that is gone, or the device's memory?
            self.shared.check_keys(&KeyTable::sweep(&self.session)?)?;
        }
        Ok(checked)
    }

    fn heal(&mut self) -> Result<(), OpenError> {
        self.session = self.opening.slot.open_session(&self.opening.module)?;
        token::log_in(&self.session, self.shared.settings.pin.as_ref())?;
        self.gcm = Gcm::new(self.opening.plan);
        Ok(())
    }

    fn publish(&self, checked: Checked) {
        let identity = Some(self.identity.clone());
        let known_good = match checked {
            Checked::Works(known_good) => {
                self.shared.metrics.count_check("ok");
                self.shared.publish(identity, Condition::Healthy, "");
                Some(Arc::new(known_good))
            }
            Checked::KeyUnfit(reason) => {
                let rejected_keys = self.shared.key_failures.count();
                let reason = match rejected_keys {
                    0 => reason,
                    _ => format!("{reason}; it rejects {rejected_keys} keys of key stores"),
                };
                self.shared.metrics.count_check("impaired");
                self.shared.publish(identity, Condition::Impaired, &reason);
                let hsm = &self.shared.settings.name;
                tracing::warn!(%hsm, reason, "the HSM serves, but its health cannot be checked");
                None
            }
        };
        let slot = &self.opening.known_good;
        *slot.write().unwrap_or_else(poisoned) = known_good;
    }
}
