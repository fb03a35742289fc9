//! The supervisor of a device: opens it, checks it, closes it, opens it again.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::error::Error;
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::gcm::Gcm;
use super::health::{Checked, Checker};
use super::keys::KeyTable;
use super::module::{Module, Modules, OpenDevice};
use super::owner::{Opening, Owner};
use super::queue::Generation;
use super::shared::{Event, Shared};
use super::token::{self, OpenError, TokenIdentity};
use crate::ekm::Condition;

/// Pauses before the next attempt to open: the first at once, because a lost session is healed so; the last one for ever.
const BACK_OFF: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// A device that has served for so long counts as stable: its next failure starts with the shortest pause.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// After so many failed attempts in a row the library itself is restarted.
const ATTEMPTS_BEFORE_RESTART: usize = 3;

/// How long owners may take to close their sessions before the device is opened anew.
const OWNERS_PATIENCE: Duration = Duration::from_secs(2);

/// Everything of a device that is open.
struct Opened {
    opening: Arc<Opening>,
    slot: Slot,
    identity: TokenIdentity,
    gcm: Gcm,
    // Dropped in this order: the last session, which holds the login, before the device counts as closed.
    keeper: Session,
    _open: OpenDevice,
}

/// Runs until it is asked to stop.
pub(super) fn supervise(shared: &Arc<Shared>, modules: &Modules) {
    let mut attempt: usize = 0;
    for generation in 1.. {
        if shared.wait(generation, pause_before(attempt)) == Event::Stop {
            return;
        }
        match open(shared, modules, generation) {
            Ok(opened) => {
                shared.metrics.count_open("opened");
                let since = Instant::now();
                if serve(shared, opened) == Event::Stop {
                    return;
                }
                // A device that opens but fails at once is not healed by opening it at once again.
                if since.elapsed() > STABLE_AFTER {
                    attempt = 0;
                }
            }
            Err(error) => {
                shared.metrics.count_open("failed");
                give_up(shared, generation, &error, attempt);
                if error.is_final() {
                    return rest(shared, generation);
                }
                remedy(shared, modules, &error, attempt);
            }
        }
        attempt += 1;
    }
}

fn pause_before(attempt: usize) -> Duration {
    match attempt.checked_sub(1) {
        None => Duration::ZERO,
        Some(failed) => BACK_OFF
            .get(failed)
            .or(BACK_OFF.last())
            .copied()
            .unwrap_or_default(),
    }
}

fn give_up(shared: &Shared, generation: Generation, error: &OpenError, attempt: usize) {
    shared.set_unusable(generation, &error.to_string());
    let hsm = &shared.settings.name;
    tracing::error!(%hsm, %error, attempt, "the HSM cannot be opened");
}

/// Nothing more to try: keeps the state fresh until the end.
fn rest(shared: &Shared, generation: Generation) {
    while shared.wait(generation, Duration::from_secs(3_600)) != Event::Stop {}
}

/// Initialises a library that has forgotten it, and restarts one that keeps failing.
fn remedy(shared: &Shared, modules: &Modules, error: &OpenError, attempt: usize) {
    let Ok(module) = modules.open(&shared.settings.module) else {
        return;
    };
    let hsm = &shared.settings.name;
    let outcome = match error.needs_initialize() {
        true => module.initialize().map(|()| true),
        false if attempt > 0 && attempt.is_multiple_of(ATTEMPTS_BEFORE_RESTART) => module.restart(),
        false => return,
    };
    match outcome {
        Ok(true) => tracing::warn!(%hsm, "the PKCS#11 library was initialised anew"),
        Ok(false) => {
            tracing::warn!(%hsm, "the PKCS#11 library is in use by another HSM; not restarted")
        }
        Err(error) => tracing::error!(%hsm, %error, "the PKCS#11 library could not be initialised"),
    }
}

fn open(
    shared: &Arc<Shared>,
    modules: &Modules,
    generation: Generation,
) -> Result<Opened, OpenError> {
    let settings = &shared.settings;
    let module = modules.open(&settings.module)?;
    let (slot, identity) = token::find(&module.context, &settings.token)?;
    token::check_mechanism(&module.context, slot, &identity)?;
    let keeper = module.context.open_ro_session(slot)?;
    token::log_in(&keeper, &settings.pin)?;
    let keys = KeyTable::sweep(&keeper)?;
    let mut gcm = Gcm::new(Arc::clone(&module));
    let mut checker = Checker {
        session: &keeper,
        gcm: &mut gcm,
    };
    let checked = checker.probe(&keys, &settings.health_key)?;
    let open = module.device_opened();
    let opened = Opened {
        opening: Arc::new(Opening {
            generation,
            module,
            keys,
            known_good: RwLock::new(None),
        }),
        slot,
        identity,
        gcm,
        keeper,
        _open: open,
    };
    publish(shared, &opened, checked);
    Ok(opened)
}

/// Serves until a fatal fault or the end, then closes everything.
fn serve(shared: &Arc<Shared>, mut opened: Opened) -> Event {
    let generation = opened.opening.generation;
    let hsm = Arc::clone(&shared.settings.name);
    let event = match start_owners(shared, &opened) {
        Ok(sessions) => {
            shared.metrics.sessions.inc();
            shared.set_usable();
            let model = &opened.identity.model;
            tracing::info!(%hsm, model, sessions, "the HSM is usable");
            let event = watch(shared, &mut opened);
            shared.metrics.sessions.dec();
            event
        }
        Err(error) => Event::Failed(error.to_string()),
    };
    let reason = match &event {
        Event::Failed(reason) => reason.as_str(),
        Event::Stop | Event::Elapsed => "the proxy is stopping",
    };
    shared.set_unusable(generation, reason);
    match &event {
        Event::Failed(reason) => {
            tracing::error!(%hsm, reason, "the HSM has failed; it will be opened anew")
        }
        Event::Stop | Event::Elapsed => tracing::info!(%hsm, "the HSM is closed"),
    }
    let left = shared.wait_for_owners(OWNERS_PATIENCE);
    if left > 0 {
        tracing::warn!(%hsm, left, "owner threads are still inside the device");
    }
    event
}

/// Opens a session per owner; fewer than configured, if the token has no more, but at least one.
fn start_owners(shared: &Arc<Shared>, opened: &Opened) -> Result<usize, OpenError> {
    let module: &Module = &opened.opening.module;
    let wanted = shared.settings.sessions;
    // Taken before the threads start: an owner that finds the queue closed ends at once.
    let mut sessions: Vec<Session> = Vec::with_capacity(wanted);
    while sessions.len() < wanted {
        match module.context.open_ro_session(opened.slot) {
            Ok(session) => sessions.push(session),
            Err(error) if sessions.is_empty() => return Err(error.into()),
            Err(error) => {
                warn_of_few_sessions(shared, sessions.len(), &error);
                break;
            }
        }
    }
    let started = sessions.len();
    shared.prepare(opened.opening.generation);
    for session in sessions {
        let owner = Owner::new(Arc::clone(shared), Arc::clone(&opened.opening), session);
        thread::Builder::new()
            .name(format!("hsm-{}", shared.settings.name))
            .spawn(move || owner.run())?;
    }
    Ok(started)
}

fn warn_of_few_sessions(shared: &Shared, sessions: usize, error: &Error) {
    let (hsm, wanted) = (&shared.settings.name, shared.settings.sessions);
    tracing::warn!(%hsm, %error, sessions, wanted, "the token gives fewer sessions than configured");
}

/// Checks the device again and again until something happens.
fn watch(shared: &Shared, opened: &mut Opened) -> Event {
    let generation = opened.opening.generation;
    loop {
        match shared.wait(generation, shared.settings.health_interval) {
            Event::Elapsed => {}
            event => return event,
        }
        let mut checker = Checker {
            session: &opened.keeper,
            gcm: &mut opened.gcm,
        };
        match checker.check(&opened.opening.keys, &shared.settings.health_key) {
            Ok(checked) => publish(shared, opened, checked),
            Err(error) => {
                shared.metrics.count_check("failed");
                return Event::Failed(format!("the health check failed: {error}"));
            }
        }
    }
}

fn publish(shared: &Shared, opened: &Opened, checked: Checked) {
    let identity = Some(opened.identity.clone());
    let known_good = match checked {
        Checked::Works(known_good) => {
            shared.metrics.count_check("ok");
            shared.publish(identity, Condition::Healthy, "");
            Some(Arc::new(known_good))
        }
        Checked::KeyUnfit(reason) => {
            shared.metrics.count_check("impaired");
            shared.publish(identity, Condition::Impaired, &reason);
            let hsm = &shared.settings.name;
            tracing::warn!(%hsm, reason, "the HSM serves, but its health cannot be checked");
            None
        }
    };
    let mut slot = opened
        .opening
        .known_good
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    *slot = known_good;
}
