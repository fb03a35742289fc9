//! Queue, circuit breaker and replacement of workers in many orders of events. The real supervisor, pool and sessions run under
//! `sync::schedule`, with a fake launcher, fake workers and fake clients.
//!
//! In every order, each job gets exactly one answer, the answer to this job. No job fails because one worker dies or is replaced. At the
//! end a worker serves, all its sessions accept jobs, and no job waits.

mod simulation;

use std::sync::atomic::Ordering;

use crate::ekm::KeyManagerFault;
use crate::hsm::events::Event;
use crate::hsm::worker::session::tests::fixtures::settings;
use crate::sync::schedule::{self, Body, point};
use simulation::{Failures, Stage};

/// The number of orders per test. Each run has the same orders.
const SEEDS: u64 = 300;

/// An event while clients send requests.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// This number of serving workers die, one by one.
    Deaths(usize),
    /// The settings change, so a new worker replaces the serving one.
    HandOver,
    /// The settings change, and the serving worker dies before the new one takes over.
    DeathInHandOver,
    /// The HSM cannot be opened with the new settings. The old worker keeps serving, and the settings are tried again.
    Rejected,
}

fn play(seed: u64, trouble: Trouble) -> Failures {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stage = &Stage::new(runtime.handle().clone());
    let clients = (0..2).map(|client| Box::new(move || stage.client(client, 3)) as Body<'_>);
    let mut bodies: Vec<Body<'_>> = clients.collect();
    bodies.push(Box::new(|| stage.supervise()));
    bodies.push(Box::new(|| stage.launch()));
    bodies.extend(
        (0..simulation::SESSIONS).map(|at| Box::new(move || stage.session(at)) as Body<'_>),
    );
    bodies.push(Box::new(move || cause(stage, trouble)));
    schedule::run(seed, bodies);
    stage.check_idle();
    stage.failures()
}

fn cause(stage: &Stage, trouble: Trouble) {
    let change = || {
        let event = Event::Settings(Box::new(settings()));
        stage.shared.post().tell(event);
    };
    match trouble {
        Trouble::Deaths(count) => (0..count).for_each(|_| stage.kill_serving()),
        Trouble::HandOver => {
            stage.until_serving();
            change();
            stage.until_started(2);
        }
        Trouble::DeathInHandOver => {
            stage.until_serving();
            change();
            stage.kill_serving();
            stage.until_started(2);
        }
        Trouble::Rejected => {
            stage.until_serving();
            stage.to_reject.store(2, Ordering::Relaxed);
            change();
            stage.until_started(4);
        }
    }
    stage.until_settled();
    stage.trouble_is_over.store(true, Ordering::Relaxed);
    point();
}

fn play_all(trouble: Trouble, check: impl Fn(u64, Failures)) {
    for seed in 0..SEEDS {
        let failed = std::panic::catch_unwind(|| play(seed, trouble));
        check(
            seed,
            failed.unwrap_or_else(|_| panic!("{trouble:?} fails with seed {seed}")),
        );
    }
}

fn assert_none(seed: u64, failures: &Failures) {
    assert!(failures.is_empty(), "seed {seed}: {failures:?}");
}

#[test]
fn no_job_fails_when_a_worker_dies() {
    play_all(Trouble::Deaths(1), |seed, failures| {
        assert_none(seed, &failures)
    });
}

#[test]
fn no_job_fails_when_another_worker_takes_over() {
    play_all(Trouble::HandOver, |seed, failures| {
        assert_none(seed, &failures)
    });
}

#[test]
fn no_job_fails_when_new_settings_do_not_open_the_hsm() {
    play_all(Trouble::Rejected, |seed, failures| {
        assert_none(seed, &failures)
    });
}

#[test]
fn no_job_fails_when_the_old_worker_dies_before_the_new_one_takes_over() {
    play_all(Trouble::DeathInHandOver, |seed, failures| {
        assert_none(seed, &failures)
    });
}

/// A job is sent at most twice. An HSM that fails again soon accepts no jobs for a while.
#[test]
fn every_job_is_answered_when_workers_die_again_and_again() {
    play_all(Trouble::Deaths(3), |seed, failures| {
        let is_known = |fault: &KeyManagerFault| {
            use KeyManagerFault::{DeviceFailed, DeviceUnavailable};
            matches!(fault, DeviceFailed | DeviceUnavailable)
        };
        assert!(failures.iter().all(is_known), "seed {seed}: {failures:?}");
    });
}
