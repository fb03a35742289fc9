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
use simulation::{Failures, Simulation};

/// The number of orders per test. Each run has the same orders.
const SEEDS: u64 = 300;

/// An event while clients send requests.
#[derive(Clone, Copy, Debug)]
enum Incident {
    /// This number of serving workers die, one by one.
    Deaths(usize),
    /// The settings change, so a new worker replaces the serving one.
    HandOver,
    /// The settings change, and the serving worker dies before the new one takes over.
    DeathInHandOver,
    /// The HSM cannot be opened with the new settings. The old worker keeps serving, and the settings are tried again.
    Rejected,
}

fn play(seed: u64, incident: Incident) -> Failures {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let simulation = &Simulation::new(runtime.handle().clone());
    let clients = (0..2).map(|client| Box::new(move || simulation.client(client, 3)) as Body<'_>);
    let mut bodies: Vec<Body<'_>> = clients.collect();
    bodies.push(Box::new(|| simulation.supervise()));
    bodies.push(Box::new(|| simulation.launch()));
    bodies.extend(
        (0..simulation::SESSIONS).map(|at| Box::new(move || simulation.session(at)) as Body<'_>),
    );
    bodies.push(Box::new(move || cause(simulation, incident)));
    schedule::run(seed, bodies);
    simulation.check_idle();
    simulation.failures()
}

fn cause(simulation: &Simulation, incident: Incident) {
    let change = || {
        let event = Event::Settings(Box::new(settings()));
        simulation.state.event_sender().send(event);
    };
    match incident {
        Incident::Deaths(count) => (0..count).for_each(|_| simulation.kill_serving()),
        Incident::HandOver => {
            simulation.until_serving();
            change();
            simulation.until_started(2);
        }
        Incident::DeathInHandOver => {
            simulation.until_serving();
            change();
            simulation.kill_serving();
            simulation.until_started(2);
        }
        Incident::Rejected => {
            simulation.until_serving();
            simulation.to_reject.store(2, Ordering::Relaxed);
            change();
            simulation.until_started(4);
        }
    }
    simulation.until_settled();
    simulation.incident_is_over.store(true, Ordering::Relaxed);
    point();
}

fn play_all(incident: Incident, check: impl Fn(u64, Failures)) {
    for seed in 0..SEEDS {
        let failed = std::panic::catch_unwind(|| play(seed, incident));
        check(
            seed,
            failed.unwrap_or_else(|_| panic!("{incident:?} fails with seed {seed}")),
        );
    }
}

fn assert_none(seed: u64, failures: &Failures) {
    assert!(failures.is_empty(), "seed {seed}: {failures:?}");
}

#[test]
fn no_job_fails_when_a_worker_dies() {
    play_all(Incident::Deaths(1), |seed, failures| {
        assert_none(seed, &failures)
    });
}

#[test]
fn no_job_fails_when_another_worker_takes_over() {
    play_all(Incident::HandOver, |seed, failures| {
        assert_none(seed, &failures)
    });
}

#[test]
fn no_job_fails_when_new_settings_do_not_open_the_hsm() {
    play_all(Incident::Rejected, |seed, failures| {
        assert_none(seed, &failures)
    });
}

#[test]
fn no_job_fails_when_the_old_worker_dies_before_the_new_one_takes_over() {
    play_all(Incident::DeathInHandOver, |seed, failures| {
        assert_none(seed, &failures)
    });
}

/// A job is sent at most twice. An HSM that fails again soon accepts no jobs for a while.
#[test]
fn every_job_is_answered_when_workers_die_again_and_again() {
    play_all(Incident::Deaths(3), |seed, failures| {
        let is_known = |fault: &KeyManagerFault| {
            use KeyManagerFault::{DeviceFailed, DeviceUnavailable};
            matches!(fault, DeviceFailed | DeviceUnavailable)
        };
        assert!(failures.iter().all(is_known), "seed {seed}: {failures:?}");
    });
}
