//! The supervisor of a device: a breaker (Probing → Usable → Failed) around its openings. It never calls the device itself, so
//! that a device that hangs cannot keep it from telling so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::events::{Event, Phase};
use super::keeper;
use super::module::Modules;
use super::owner::Owner;
use super::queue::Generation;
use super::shared::Shared;
use super::token::OpenError;

/// Pauses before the next attempt to open: the first at once, because a lost session is healed so; the last one for ever. Trying is
/// cheap for the device, and KMS's customers wait for it.
const BACK_OFF: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(8),
];

/// A device that has served for so long counts as stable: its next failure starts with the shortest pause. So a device that
/// fails all the time is opened once a second at most.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// After so many failed attempts in a row the library itself is restarted.
const ATTEMPTS_BEFORE_RESTART: usize = 3;

/// How long jobs may wait for the device to be opened again; after that they fail at once. Nobody waits longer for them.
const SUSPENDED_FOR: Duration = Duration::from_millis(250);

/// An opening that takes longer hangs. A token with thousands of keys takes seconds.
const OPENING_HANGS_AFTER: Duration = Duration::from_secs(60);

/// A call that takes longer hangs: nobody has been waiting for its answer for long.
const CALL_HANGS_AFTER: Duration = Duration::from_secs(2);

/// How often the supervisor looks for threads that hang.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the threads of one opening may take to close their sessions before the next one begins. Only threads that are
/// inside the device need it; they go on closing afterwards.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// Runs until it is asked to stop.
pub(super) fn supervise(shared: &Arc<Shared>, modules: &Modules) {
    let mut attempt: usize = 0;
    let mut refusal: Option<OpenError> = None;
    for generation in 1.. {
        let pause = attempt
            .checked_sub(1)
            .and_then(|failed| BACK_OFF.get(failed).or(BACK_OFF.last()));
        if is_stop(&shared.wait(generation, pause.copied().unwrap_or_default())) {
            return shared.close_door("the proxy is stopping");
        }
        if shared.is_quarantined() {
            return rest(shared, generation);
        }
        // As late as possible: what a library sees of its tokens may be what was there when it was initialised.
        if let Some(error) = refusal.take() {
            remedy(shared, modules, &error, attempt);
        }
        let began = Instant::now();
        match one_life(shared, modules, generation) {
            End::Stop => return,
            End::Failed => {
                // A device that opens but fails at once is not healed by opening it at once again.
                match began.elapsed() > STABLE_AFTER {
                    true => attempt = 0,
                    false if attempt > 0 => shared.close_door("it fails again and again"),
                    false => {}
                }
            }
            End::Returned => attempt = 0,
            End::Rest => return rest(shared, generation),
            End::NotOpened(error) => refusal = Some(error),
        }
        attempt += 1;
    }
}

/// How an opening ended.
enum End {
    Stop,
    /// It served, then it failed.
    Failed,
    /// It could not be opened.
    NotOpened(OpenError),
    /// It hung, and its calls have come back: it is worth an attempt at once.
    Returned,
    /// It must not be opened again.
    Rest,
}

fn is_stop(event: &Event) -> bool {
    matches!(event, Event::Stop)
}

/// One opening of the device, from its keeper's start to the end of its threads.
fn one_life(shared: &Arc<Shared>, modules: &Modules, generation: Generation) -> End {
    shared.enter(Phase::Probing);
    let end = match keeper::start(shared, modules, generation) {
        Ok(()) => live(shared, generation),
        Err(error) => End::NotOpened(error.into()),
    };
    match &end {
        End::Stop => shared.close_door("the proxy is stopping"),
        // The queue is suspended: the first attempt to open again may save what waits there.
        End::Failed => {}
        End::NotOpened(error) => give_up(shared, error),
        End::Rest | End::Returned => {}
    }
    shared.end(generation);
    shared.wait_for_threads(END_PATIENCE, Shared::is_quiet);
    await_keeper(shared, generation, end)
}

/// A keeper that hangs is waited for, however long: a second one would hang beside it.
fn await_keeper(shared: &Shared, generation: Generation, end: End) -> End {
    if !shared.has_keeper() {
        return end;
    }
    while shared.has_keeper() {
        shared.close_door("the device hangs");
        if is_stop(&shared.wait(generation + 1, LOOK_EVERY)) {
            return End::Stop;
        }
    }
    match end {
        End::Failed | End::NotOpened(_) => End::Returned,
        End::Stop | End::Rest | End::Returned => end,
    }
}

fn live(shared: &Arc<Shared>, generation: Generation) -> End {
    let began = Instant::now();
    loop {
        match shared.wait(generation, LOOK_EVERY) {
            Event::Stop => return End::Stop,
            // A thread of an earlier generation may have found it.
            _ if shared.trust.lost().is_some() => return End::Failed,
            Event::Opened => break,
            Event::NotOpened(error) => return not_opened(shared, error),
            // An owner may meet a fault before the keeper has told that it is open.
            Event::Failed(_) => break,
            Event::Elapsed if began.elapsed() > OPENING_HANGS_AFTER => {
                return not_opened(shared, OpenError::Hangs);
            }
            Event::Elapsed if began.elapsed() > SUSPENDED_FOR => {
                shared.close_unless_open(generation, "the device is being opened");
            }
            Event::Elapsed => {}
        }
    }
    shared.metrics.count_open("opened");
    serve(shared, generation)
}

fn not_opened(shared: &Shared, error: OpenError) -> End {
    shared.metrics.count_open("failed");
    match error.is_final() {
        false => End::NotOpened(error),
        true => {
            give_up(shared, &error);
            End::Rest
        }
    }
}

fn give_up(shared: &Shared, error: &OpenError) {
    shared.close_door(&error.to_string());
    shared.opening_failed.store(true, Ordering::Release);
    let hsm = &shared.settings.name;
    tracing::error!(%hsm, %error, "the HSM cannot be opened");
}

/// Serves until a fatal fault or the end; replaces owners that hang, as long as there are not too many of them.
fn serve(shared: &Arc<Shared>, generation: Generation) -> End {
    let hsm = &shared.settings.name;
    loop {
        match shared.wait(generation, LOOK_EVERY) {
            Event::Stop => return End::Stop,
            _ if shared.trust.lost().is_some() => return End::Failed,
            Event::Failed(reason) => {
                tracing::error!(%hsm, reason, "the HSM has failed; it will be opened anew");
                return End::Failed;
            }
            Event::Opened | Event::NotOpened(_) | Event::Elapsed => {}
        }
        for slot in shared.load.hanging(CALL_HANGS_AFTER) {
            if slot.give_up() {
                tracing::warn!(%hsm, "an owner thread hangs inside the HSM; it is replaced");
                replace(shared, generation);
            }
        }
        let lost = shared.load.lost();
        shared.metrics.set_lost(lost);
        if lost > shared.settings.sessions {
            let reason = format!("{lost} calls hang inside the device");
            shared.report_fatal(generation, reason);
        }
    }
}

/// Another owner for the one that hangs, in a thread of its own from the start: opening its session may hang as well.
fn replace(shared: &Arc<Shared>, generation: Generation) {
    let Some(opening) = shared.opening(generation) else {
        return;
    };
    if let Err(error) = Owner::start(shared, &opening, None) {
        tracing::error!(hsm = %shared.settings.name, %error, "no thread for another owner");
    }
}

/// Nothing more to try: waits for the end.
fn rest(shared: &Shared, generation: Generation) {
    while !is_stop(&shared.wait(generation + 1, Duration::from_secs(3_600))) {}
}

/// Initialises a library that has forgotten it, and restarts one that keeps failing. No thread of ours is inside it then.
fn remedy(shared: &Shared, modules: &Modules, error: &OpenError, attempt: usize) {
    let keeps_failing = attempt.is_multiple_of(ATTEMPTS_BEFORE_RESTART);
    let may_help = error.needs_initialize() || error.is_about_presence() || keeps_failing;
    if !shared.is_quiet() || !may_help {
        return;
    }
    let Ok(module) = modules.open(&shared.settings.module, shared.settings.parameters.as_ref())
    else {
        return;
    };
    let hsm = &shared.settings.name;
    let outcome = match error.needs_initialize() {
        true => module.initialize().map(|()| true),
        false => module.restart(),
    };
    match outcome {
        Ok(true) => tracing::warn!(%hsm, "the PKCS#11 library was initialised anew"),
        Ok(false) => {
            tracing::warn!(%hsm, "the PKCS#11 library is in use by another HSM; not restarted");
        }
        Err(error) => tracing::error!(%hsm, %error, "the PKCS#11 library could not be initialised"),
    }
}
