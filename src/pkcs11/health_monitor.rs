//! The health monitor of a worker. It opens the token, starts the sessions, checks the health of the HSM and proves the keys. One session
//! stays open in it, which keeps the login.
//!
//! It may import all other parts of [`crate::pkcs11`] except `administration`.

mod key_queue;
mod key_scan;
mod key_states;
mod proof_report;
mod proofs;

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use self::key_states::KeyStates;
use self::proofs::{Proofs, TokenAccess};
use crate::hsm_protocol::{Health, News};
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::aes_gcm::mechanisms::gcm_mechanisms;
use crate::pkcs11::aes_gcm::profile;
use crate::pkcs11::health_key::check::{Checked, Checker, KnownCiphertexts};
use crate::pkcs11::health_key::probe::Probe;
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::library::errors::CallError;
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::library::module::Module;
use crate::pkcs11::sessions::{self, JobChannel};
use crate::pkcs11::token::find::find_token;
use crate::pkcs11::token::login::check_pin;
use crate::pkcs11::token::open_error::OpenError;
use crate::pkcs11::token::slot::TokenIdentity;
use crate::pkcs11::worker_state::WorkerState;
use crate::pkcs11::worker_state::connection::Connection;
use crate::sync::poisoned;

/// The interval between attempts to open a session that the token rejected.
const SESSION_RETRY: Duration = Duration::from_secs(1);

/// The monitor, with the open token.
pub(in crate::pkcs11) struct HealthMonitor<C> {
    worker: Arc<WorkerState>,
    connection: Arc<Connection>,
    identity: TokenIdentity,
    gcm: Gcm,
    /// The session that keeps the login. It is closed last.
    session: Session,
    proofs: Proofs,
    states: KeyStates,
    /// Channels without a session: the token has rejected further sessions so far.
    waiting_channels: Vec<C>,
}

impl<C: JobChannel> HealthMonitor<C> {
    /// Opens the token, probes it and starts the sessions.
    pub(in crate::pkcs11) fn open(
        worker: &Arc<WorkerState>,
        channels: Vec<C>,
    ) -> Result<Self, OpenError> {
        let settings = &worker.settings;
        let module = Arc::new(Module::load(&settings.module, settings.parameters.clone())?);
        let (mut slot, identity) = find_token(&module, &settings.token)?;
        let mechanisms = gcm_mechanisms(&module, slot, &identity)?;
        let pin = worker.pin.as_ref();
        check_pin(&identity, pin)?;
        let session = slot.open_first_session(&module)?;
        worker.log_in(&session, &identity)?;
        let keys = KeyTable::read_all(&session)?.with_login_expected(pin.is_some());
        keys.log_unreadable(&settings.name);
        worker.check_keys(&keys)?;
        let plans = profile::candidates(settings.gcm_profile, &identity, &mechanisms);
        let probe = Probe {
            module: &module,
            slot,
            keys: &keys,
        };
        let (plan, checked) = probe.choose(&plans, &settings.health_key)?;
        let connection = Connection {
            module: Arc::clone(&module),
            slot,
            identity: identity.clone(),
            plan,
            keys,
            known_good: RwLock::new(None),
            known_ciphertexts: KnownCiphertexts::default(),
        };
        let mut monitor = Self {
            worker: Arc::clone(worker),
            proofs: Proofs::new(&connection, format!("{identity:?} {plan}")),
            connection: Arc::new(connection),
            identity,
            gcm: Gcm::new(plan),
            session,
            states: KeyStates::default(),
            waiting_channels: channels,
        };
        monitor.start_sessions()?;
        monitor.publish(checked, Duration::ZERO);
        Ok(monitor)
    }

    /// Runs until the worker ends. Then the token is closed.
    pub(in crate::pkcs11) fn run(mut self) {
        self.report_opened();
        let worker = Arc::clone(&self.worker);
        let interval = worker.settings.health_interval;
        let mut due = Instant::now() + interval;
        while !self.wait(due) {
            if !self.waiting_channels.is_empty() {
                self.start_late_sessions();
            }
            match (Instant::now() >= due, self.proofs.has_work(&worker)) {
                (true, _) => {
                    self.check();
                    due = Instant::now() + interval;
                }
                (false, true) => self.with_proofs(Proofs::next),
                (false, false) => {}
            }
            self.connection.keys.take_change();
            self.states.report(&worker, &self.connection.keys);
        }
    }

    /// The module, to be finalized after the sessions are closed.
    pub(in crate::pkcs11) fn module(&self) -> Arc<Module> {
        Arc::clone(&self.connection.module)
    }

    fn report_opened(&self) {
        let (hsm, profile) = (&self.worker.settings.name, self.connection.plan.to_string());
        let TokenIdentity { vendor, model, .. } = &self.identity;
        let sessions = self.worker.settings.sessions - self.waiting_channels.len();
        self.worker.report(News::Opened {
            vendor: vendor.clone(),
            model: model.clone(),
            profile: profile.clone(),
        });
        tracing::info!(%hsm, vendor, model, profile, sessions, "the HSM is usable");
    }

    /// Waits for the next task: a health check, a proof, or an attempt to open a session. Returns whether the worker ends.
    fn wait(&self, due: Instant) -> bool {
        let keys = &self.connection.keys;
        let is_work = || self.proofs.has_work(&self.worker) || keys.has_changed();
        let left = due.saturating_duration_since(Instant::now());
        let patience = match self.waiting_channels.is_empty() {
            true => left,
            false => left.min(SESSION_RETRY),
        };
        self.worker.wait_for_end(patience, is_work)
    }

    fn with_proofs(&mut self, work: impl FnOnce(&mut Proofs, &mut TokenAccess<'_>)) {
        let mut token = TokenAccess {
            worker: &self.worker,
            connection: &self.connection,
            session: &mut self.session,
            gcm: &mut self.gcm,
        };
        work(&mut self.proofs, &mut token);
    }

    /// Opens a session for each channel. Accepts fewer sessions if the token rejects more, but at least one.
    fn start_sessions(&mut self) -> Result<(), OpenError> {
        let wanted = self.waiting_channels.len();
        while let Some(channel) = self.waiting_channels.pop() {
            match self.connection.slot.open_session(&self.connection.module) {
                Ok(session) => sessions::start(&self.worker, &self.connection, session, channel)?,
                Err(error) if self.waiting_channels.len() + 1 == wanted => return Err(error.into()),
                Err(error) => {
                    self.waiting_channels.push(channel);
                    let (hsm, sessions) = (
                        &self.worker.settings.name,
                        wanted - self.waiting_channels.len(),
                    );
                    tracing::warn!(%hsm, %error, sessions, wanted, "the token has fewer sessions than configured");
                    break;
                }
            }
        }
        Ok(())
    }

    /// Tries to open the missing sessions: another worker may have closed its sessions in the meantime.
    fn start_late_sessions(&mut self) {
        while let Some(channel) = self.waiting_channels.pop() {
            let Ok(session) = self.connection.slot.open_session(&self.connection.module) else {
                return self.waiting_channels.push(channel);
            };
            let hsm = &self.worker.settings.name;
            match sessions::start(&self.worker, &self.connection, session, channel) {
                Ok(()) => {
                    tracing::info!(%hsm, missing = self.waiting_channels.len(), "opened one more session")
                }
                Err(error) => tracing::error!(%hsm, %error, "cannot start the thread of a session"),
            }
        }
    }

    /// Checks the HSM. If the session was lost, it is reopened and the check is repeated.
    fn check(&mut self) {
        let started = Instant::now();
        let outcome = match self.check_once() {
            Err(error) if error.is_about_the_session() => {
                self.recover().and_then(|()| self.check_once())
            }
            outcome => outcome,
        };
        match outcome {
            Ok(checked) => {
                // The check has two operations, a job has one.
                self.publish(checked, started.elapsed() / 2);
                self.with_proofs(Proofs::after_check);
                self.worker.key_failures.forget_old(Instant::now());
            }
            Err(error) => {
                self.proofs.clear_backlog();
                if let OpenError::Crypto(CallError::Wrong(violation)) = error {
                    self.worker.distrust(violation);
                }
                let reason = format!("the health check failed: {error}");
                self.report(Health::Failed, &reason, Duration::ZERO);
                self.worker.report_fatal(reason);
            }
        }
    }

    fn check_once(&mut self) -> Result<Checked, OpenError> {
        let mut checker = Checker {
            session: &self.session,
            gcm: &mut self.gcm,
        };
        let (settings, history) = (&self.worker.settings, &self.worker.history);
        let checked = checker.check(&self.connection.keys, &settings.health_key, history)?;
        if matches!(checked, Checked::KeyUnfit(_)) {
            // Either the health key was deleted, or the HSM has lost all keys.
            self.worker
                .check_keys(&KeyTable::read_all(&self.session)?)?;
        }
        Ok(checked)
    }

    fn recover(&mut self) -> Result<(), OpenError> {
        self.session = self.connection.slot.open_session(&self.connection.module)?;
        self.worker.log_in(&self.session, &self.identity)?;
        self.gcm = Gcm::new(self.connection.plan);
        Ok(())
    }

    fn publish(&self, checked: Checked, operation: Duration) {
        let known_good = match checked {
            Checked::Works(known_good) => {
                self.report(Health::Healthy, "", operation);
                Some(Arc::new(known_good))
            }
            Checked::KeyUnfit(reason) => {
                let rejected_keys = self.worker.key_failures.count();
                let reason = match rejected_keys {
                    0 => reason,
                    _ => format!("{reason}; it rejects {rejected_keys} keys of key stores"),
                };
                self.report(Health::Impaired, &reason, operation);
                let hsm = &self.worker.settings.name;
                tracing::warn!(%hsm, reason, "the HSM serves, but its health cannot be checked");
                None
            }
        };
        let slot = &self.connection.known_good;
        *slot.write().unwrap_or_else(poisoned) = known_good;
    }

    fn report(&self, health: Health, reason: &str, operation: Duration) {
        self.worker.report(News::Checked {
            health,
            reason: reason.to_owned(),
            operation_micros: u64::try_from(operation.as_micros()).unwrap_or(u64::MAX),
        });
    }
}
