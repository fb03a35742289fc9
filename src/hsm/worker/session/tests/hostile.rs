//! Answers that an honest worker never sends.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Map;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::fakes::{FakeWorker, TestHsm, encrypted, eventually};
use crate::ekm::{ExpectedKey, KeyAttributes, KeyKind, KeySelector, KeyUsageFlags, Opened};
use crate::hsm::events::Event;
use crate::hsm_protocol::packet::{self, Wait};
use crate::hsm_protocol::{
    FromSession, Line, LineLevel, MAX_CONTROL_FRAME, MAX_FRAME, News, Outcome,
};
use crate::secret::SecretBytes;

fn opened(length: usize, by_or_aad: bool) -> Outcome {
    Outcome::Opened(Opened {
        plaintext: SecretBytes::new(vec![7; length]),
        by_or_aad,
    })
}

fn described() -> Outcome {
    Outcome::Described(KeyAttributes {
        kind: KeyKind::Aes(256),
        usage: KeyUsageFlags {
            encrypt: true,
            decrypt: true,
            sign: false,
            verify: false,
            wrap: false,
            unwrap: false,
            derive: false,
        },
    })
}

/// Wrong answers to a decryption of nine bytes, each with a description.
fn wrong_answers(id: u64) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let good = FakeWorker::answer(id, opened(9, false));
    let truncated = good[..good.len() - 1].to_vec();
    let longer = [&good[..], b"x"].concat();
    let mut versioned = good.clone();
    versioned[0] ^= 0xff;
    vec![
        (
            "an unknown job",
            vec![FakeWorker::answer(id + 1, opened(9, false))],
        ),
        (
            "the highest number",
            vec![FakeWorker::answer(u64::MAX, opened(9, false))],
        ),
        (
            "a shorter plaintext",
            vec![FakeWorker::answer(id, opened(8, false))],
        ),
        (
            "a longer plaintext",
            vec![FakeWorker::answer(id, opened(10, false))],
        ),
        (
            "no plaintext",
            vec![FakeWorker::answer(id, opened(0, false))],
        ),
        (
            "an AAD that the job does not permit",
            vec![FakeWorker::answer(id, opened(9, true))],
        ),
        (
            "a ciphertext",
            vec![FakeWorker::answer(
                id,
                Outcome::Encrypted(encrypted(b"123456789")),
            )],
        ),
        ("attributes", vec![FakeWorker::answer(id, described())]),
        ("a truncated answer", vec![truncated]),
        ("an answer with a byte left over", vec![longer]),
        ("an unknown version", vec![versioned]),
        ("an unknown kind", vec![vec![1, 200]]),
        ("garbage", vec![b"\x00\xffgarbage".to_vec()]),
        ("one byte", vec![vec![1]]),
        ("a packet that is too long", vec![vec![1; MAX_FRAME + 1]]),
    ]
}

/// A worker with a wrong answer is killed, and the next worker answers.
#[tokio::test]
async fn a_worker_with_a_wrong_answer_is_replaced() {
    for number in 0..wrong_answers(0).len() {
        let hsm = TestHsm::new();
        let worker = hsm.serves(1, 1).await;
        let answer = hsm.decrypt(9);
        let (session, job) = worker.jobs().remove(0);
        let (what, frames) = wrong_answers(job.id).remove(number);
        for frame in &frames {
            worker.send(session, frame);
        }
        let event = hsm
            .await_event(|event| {
                matches!(event, Event::ProtocolViolated(..) | Event::SessionEnded(_))
            })
            .await;
        assert!(
            matches!(event, Event::ProtocolViolated(1, _)),
            "{what}: {event:?}"
        );
        assert!(worker.jobs().is_empty(), "{what}: it gets no other job");
        drop(worker);
        eventually(|| hsm.state.serving().is_none()).await;
        let next = hsm.serves(2, 1).await;
        let (session, job) = next.job().await;
        next.send(session, &FakeWorker::answer(job.id, opened(9, false)));
        let served = answer.served().await;
        assert_eq!(served.value.plaintext.expose(), [7; 9], "{what}");
    }
}

#[tokio::test]
async fn a_second_answer_ends_the_worker() {
    let hsm = TestHsm::new();
    let worker = hsm.serves(1, 1).await;
    let answer = hsm.decrypt(9);
    let (session, job) = worker.jobs().remove(0);
    worker.send(session, &FakeWorker::answer(job.id, opened(9, false)));
    assert_eq!(answer.served().await.value.plaintext.expose(), [7; 9]);
    let second = hsm.decrypt(9);
    worker.send(session, &FakeWorker::answer(job.id, opened(9, false)));
    let broken = |event: &Event| matches!(event, Event::ProtocolViolated(1, _));
    hsm.await_event(broken).await;
    let next = hsm.serves(2, 1).await;
    let (session, job) = next.job().await;
    next.send(session, &FakeWorker::answer(job.id, opened(9, false)));
    second.served().await;
}

/// An answer on a session that has no job.
#[tokio::test]
async fn an_answer_on_another_session_ends_the_worker() {
    let hsm = TestHsm::new();
    let worker = hsm.serves(1, 2).await;
    let answer = hsm.decrypt(9);
    let (session, job) = worker.jobs().remove(0);
    worker.send(1 - session, &FakeWorker::answer(job.id, opened(9, false)));
    hsm.await_event(|event| matches!(event, Event::ProtocolViolated(1, _)))
        .await;
    drop(worker);
    let next = hsm.serves(2, 1).await;
    let (session, job) = next.job().await;
    next.send(session, &FakeWorker::answer(job.id, opened(9, false)));
    answer.served().await;
}

/// Repeated reports that a session is ready add no further lanes.
#[tokio::test]
async fn a_session_that_is_ready_again_and_again_is_one_session() {
    let hsm = TestHsm::new();
    let worker = hsm.serves(1, 1).await;
    for _ in 0..50 {
        worker.send(0, &FromSession::Ready.to_frame());
    }
    // A slow HSM gets one job at a time.
    hsm.state.load.learn(Duration::from_secs(1));
    let (first, _second) = (hsm.decrypt(9), hsm.decrypt(9));
    let (session, job) = worker.jobs().remove(0);
    worker.send(session, &FakeWorker::answer(job.id, opened(9, false)));
    first.served().await;
    assert_eq!(worker.jobs().len(), 1, "one at a time");
    let _third = hsm.decrypt(9);
    assert!(worker.jobs().is_empty(), "one at a time");
}

#[tokio::test]
async fn garbage_on_the_control_channel_ends_the_worker() {
    let long = vec![b' '; MAX_CONTROL_FRAME + 1];
    for garbage in [
        &b"{"[..],
        b"null",
        b"{\"kill\":1}",
        b"\xff\xfe",
        b"[[[[[[[[",
        &long,
    ] {
        let hsm = TestHsm::new();
        let worker = hsm.serves(1, 1).await;
        let control = worker.control.as_ref().unwrap();
        packet::send(control, garbage, &[], Wait::Yes).unwrap();
        hsm.await_event(|event| matches!(event, Event::ProtocolViolated(1, _)))
            .await;
    }
}

/// JSON that is nested as deeply as a frame allows. A recursive parser would overflow its stack.
#[tokio::test]
async fn deep_nesting_ends_the_worker_and_nothing_else() {
    let depth = MAX_CONTROL_FRAME - 200;
    let fields = [
        "{\"line\":{\"level\":\"info\",\"message\":\"\",\"lost\":0,\"fields\":{\"a\":",
        &"[".repeat(depth),
    ];
    let hsm = TestHsm::new();
    let worker = hsm.serves(1, 1).await;
    let control = worker.control.as_ref().unwrap();
    packet::send(control, fields.concat().as_bytes(), &[], Wait::Yes).unwrap();
    hsm.await_event(|event| matches!(event, Event::ProtocolViolated(1, _)))
        .await;
}

/// Counts the lines and the bytes that are logged.
#[derive(Clone, Default)]
struct Counted(Arc<(AtomicUsize, AtomicUsize)>);

struct Length(usize);

impl tracing::field::Visit for Length {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 += format!("{value:?}").len();
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Counted {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut length = Length(0);
        event.record(&mut length);
        self.0.0.fetch_add(1, Ordering::Relaxed);
        self.0.1.fetch_add(length.0, Ordering::Relaxed);
    }
}

#[test]
fn a_flood_of_log_lines_is_bounded_in_lines_and_bytes() {
    let counted = Counted::default();
    let subscriber = tracing_subscriber::registry().with(counted.clone());
    let mut seconds = 1;
    tracing::subscriber::with_default(subscriber, || {
        let mut relay = crate::hsm::worker::log_relay::LogRelay::new(&Arc::from("hsm-a"));
        let began = std::time::Instant::now();
        for _ in 0..2_000 {
            relay.log_limited(Line {
                level: LineLevel::Error,
                message: "m".repeat(50_000),
                fields: Map::from_iter([("f".to_owned(), "v".repeat(10_000).into())]),
                lost: u64::MAX,
            });
        }
        seconds += began.elapsed().as_secs() as usize;
    });
    let (lines, bytes) = &*counted.0;
    let (lines, bytes) = (lines.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
    assert!(lines <= 401 * seconds, "{lines} lines in {seconds} s");
    assert!(bytes <= lines * 8_192, "{bytes} bytes in {lines} lines");
}

/// Sending orders to a worker that does not read them does not block.
#[tokio::test]
async fn a_worker_that_does_not_read_its_orders_does_not_block_the_supervisor() {
    let hsm = TestHsm::new();
    let (worker, running) = hsm.begin(1, 1);
    let keys: Vec<_> = (0..20_000)
        .map(|number| ExpectedKey {
            selector: Arc::new(KeySelector::Label(format!(
                "a key with the number {number}"
            ))),
            encrypts: true,
        })
        .collect();
    running.expect(&keys);
    running.expect(&keys[..1]);
    drop(worker);
}

/// A worker sends news without end while no task handles events. The number of waiting events is bounded.
#[tokio::test]
async fn a_flood_of_news_queues_few_events() {
    let hsm = TestHsm::new();
    let worker = hsm.serves(1, 1).await;
    let control = worker.control.as_ref().unwrap();
    let fatal = News::Fatal("f".repeat(1_000)).to_frame().unwrap();
    for _ in 0..1_000 {
        send(control, &fatal).await;
    }
    let last = News::healthy(Duration::from_millis(1)).to_frame().unwrap();
    send(control, &last).await;
    eventually(|| hsm.state.load.mean() > 0).await;
    let events = hsm.events().await;
    assert!(events.len() <= 8, "{} events wait", events.len());
}

/// Sends a packet as soon as it fits into the socket.
async fn send(socket: &OwnedFd, packet: &[u8]) {
    while packet::send(socket, packet, &[], Wait::No).is_err() {
        tokio::task::yield_now().await;
    }
}
