//! A session whose worker is hostile, broken or dead. The test is the worker.
//!
//! In all cases the front neither panics nor hangs, and loses no job. No request gets the result of a different one, unless the lengths are
//! equal.

pub(in crate::hsm) mod fakes;
pub(in crate::hsm) mod fixtures;
mod hostile;

use std::time::Duration;

use crate::ekm::KeyManagerFault;
use crate::hsm::events::Event;
use crate::hsm_protocol::{Answer, Batch, Cost, FromSession, MAX_BATCH, Outcome, Task};
use fakes::{FakeWorker, PendingAnswer, TestHsm, encrypted, eventually};

/// All sessions of a worker end at once, with unanswered jobs. Each job is sent to the next worker.
#[tokio::test]
async fn a_worker_that_dies_costs_no_job() {
    for round in 0..30 {
        let hsm = TestHsm::new();
        let dead = hsm.serves(1, 4).await;
        let answers: Vec<_> = (0..1 + round % 4).map(|_| hsm.encrypt(b"kept")).collect();
        drop(dead);
        let next = hsm.after_death(2, 4).await;
        for answer in answers {
            assert_eq!(answer.encrypted_by(&next).await, b"kept", "round {round}");
        }
    }
}

/// A process that ends closes its descriptors one by one. A job whose session has ended must not be sent to a session that ends next.
#[tokio::test]
async fn no_job_is_sent_again_to_a_worker_that_ends() {
    let hsm = TestHsm::new();
    let mut dying = hsm.serves(1, 4).await;
    let answer = hsm.encrypt(b"kept");
    dying.close_session_with_a_job();
    hsm.await_event(|event| matches!(event, Event::SessionEnded(1)))
        .await;
    assert!(dying.jobs().is_empty(), "no other session has got it");
    drop(dying);
    let next = hsm.after_death(2, 4).await;
    assert_eq!(answer.encrypted_by(&next).await, b"kept");
}

/// The worker dies after it has opened the token and before it takes over.
#[tokio::test]
async fn a_worker_that_is_dead_when_it_takes_over_costs_no_job() {
    let hsm = TestHsm::new();
    let (worker, running) = hsm.begin(1, 3);
    worker.ready(&running).await;
    drop(worker);
    hsm.await_event(|event| matches!(event, Event::SessionEnded(1)))
        .await;
    assert!(hsm.state.take_over(&running.view));
    let answers: Vec<_> = (0..5).map(|_| hsm.encrypt(b"kept")).collect();
    hsm.state.suspend(1, "its worker ended");
    let next = hsm.after_death(2, 3).await;
    for answer in answers {
        assert_eq!(answer.encrypted_by(&next).await, b"kept");
    }
}

/// A job that crashes workers is sent to two workers only.
#[tokio::test]
async fn a_job_is_sent_to_two_workers_at_most() {
    let hsm = TestHsm::new();
    let first = hsm.serves(1, 2).await;
    let answer = hsm.encrypt(b"deadly");
    assert_eq!(first.jobs().len(), 1);
    drop(first);
    let second = hsm.after_death(2, 2).await;
    eventually(|| !second.jobs().is_empty()).await;
    drop(second);
    let third = hsm.after_death(3, 2).await;
    assert_eq!(answer.fault().await, KeyManagerFault::DeviceFailed);
    assert!(third.jobs().is_empty());
}

/// Jobs that do not fit into the socket of a worker that dies were not sent to it: they still go to two workers.
#[tokio::test]
async fn a_job_that_was_not_sent_is_still_sent_twice() {
    const JOBS: usize = 10;
    let hsm = TestHsm::new();
    let first = hsm.serves(1, 1).await;
    // A fast HSM gets several jobs at a time.
    assert_eq!(hsm.encrypt(b"fast").encrypted_by(&first).await, b"fast");
    let large = [7; 60_000];
    let mut answers: Vec<_> = (0..JOBS).map(|_| hsm.encrypt(&large)).collect();
    let mut received = first.jobs().len();
    assert!(received < JOBS, "some jobs do not fit into the socket");
    drop(first);
    let (mut failed, mut number) = (0, 2);
    while failed < JOBS {
        let worker = hsm.after_death(number, 1).await;
        let before = received;
        while received == before && failed < JOBS {
            received += worker.jobs().len();
            failed += answers.iter_mut().filter_map(PendingAnswer::now).count();
            tokio::task::yield_now().await;
        }
        number += 1;
    }
    assert_eq!(received, 2 * JOBS);
}

/// A worker sends no answers. Its caller leaves, and other callers are served after the worker was replaced.
#[tokio::test]
async fn a_worker_without_answers_fails_its_own_jobs_only() {
    let hsm = TestHsm::new();
    let silent = hsm.serves(1, 1).await;
    let lost = hsm.encrypt_within(b"lost", Duration::from_millis(20));
    let waits = hsm.encrypt(b"kept");
    lost.leave().await;
    let next = hsm.serves(2, 1).await;
    assert_eq!(waits.encrypted_by(&next).await, b"kept");
    assert_eq!(silent.jobs().len(), 1);
    drop(silent);
    hsm.await_event(|event| matches!(event, Event::SessionEnded(1)))
        .await;
    let last = hsm.encrypt(b"last");
    let jobs = next.jobs();
    let [(session, job)] = &jobs[..] else {
        panic!("nobody waits for the lost job: {jobs:?}")
    };
    next.send(
        *session,
        &FakeWorker::answer(job.id, Outcome::Encrypted(encrypted(b"last"))),
    );
    assert_eq!(last.encrypted().await, b"last");
}

#[tokio::test]
async fn answers_that_come_in_another_order_reach_their_own_jobs() {
    let hsm = TestHsm::new();
    let worker = hsm.serves(1, 1).await;
    hsm.state.load.learn(Duration::from_micros(10));
    let plaintexts = [&b"1"[..], b"22", b"333", b"4444"];
    let answers = plaintexts.map(|plaintext| hsm.encrypt(plaintext));
    let mut jobs = worker.jobs();
    assert_eq!(jobs.len(), 4, "a fast HSM gets several");
    jobs.reverse();
    for (session, job) in &jobs {
        let Task::Encrypt { plaintext, .. } = &job.task else {
            panic!("{job:?}")
        };
        let outcome = Outcome::Encrypted(encrypted(plaintext.expose()));
        worker.send(*session, &FakeWorker::answer(job.id, outcome));
    }
    for (answer, plaintext) in answers.into_iter().zip(plaintexts) {
        assert_eq!(answer.encrypted().await, plaintext);
    }
}

/// After a packet of answers, as many jobs are sent in one packet.
#[tokio::test]
async fn a_packet_of_answers_is_followed_by_a_packet_of_jobs() {
    let hsm = TestHsm::new();
    let worker = hsm.serves(1, 1).await;
    hsm.state.load.learn(Duration::from_micros(10));
    let answers: Vec<_> = (0..3 * MAX_BATCH).map(|_| hsm.encrypt(b"x")).collect();
    let first = worker.jobs();
    assert_eq!(first.len(), 2 * MAX_BATCH, "a fast HSM gets several");
    let mut batch = Batch::default();
    for (_, job) in &first[..MAX_BATCH] {
        let frame = FakeWorker::answer(job.id, Outcome::Encrypted(encrypted(b"x")));
        assert!(batch.push(frame).is_none());
    }
    worker.send(0, batch.packet());
    for answer in answers.into_iter().take(MAX_BATCH) {
        assert_eq!(answer.encrypted().await, b"x");
    }
    assert_eq!(worker.packets(), [MAX_BATCH]);
}

/// The cost that a worker reports is bounded by the frame: counters grow by at most 255 per answer.
#[tokio::test]
async fn costs_are_bounded() {
    let hsm = TestHsm::new();
    let worker = hsm.serves(1, 1).await;
    let answer = hsm.encrypt(b"x");
    let (session, job) = worker.jobs().remove(0);
    let cost = Cost {
        worked: Duration::MAX,
        encrypt_calls: u8::MAX,
        decrypt_calls: u8::MAX,
        describe_calls: u8::MAX,
        encryptions: u8::MAX,
    };
    let outcome = Outcome::Encrypted(encrypted(b"x"));
    let id = job.id;
    worker.send(
        session,
        &FromSession::Answer(Answer { id, cost, outcome }).to_frame(),
    );
    let served = answer.served().await;
    assert!(served.worked <= Duration::from_micros(u32::MAX.into()));
    assert!(hsm.state.load.mean() <= 1_000_000_000);
}
