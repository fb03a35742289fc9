//! Tests of batching: answers are sent together while jobs wait, and always before the session sleeps.

use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;
use crate::ekm::KeySelector;
use crate::hsm_protocol::{Answer, Cost, MAX_BATCH, Outcome, Task};
use crate::secret::SecretBytes;

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

/// The front's ends of a session and of the control channel, and the worker's session. Answers are held back for `hold`.
fn session(hold: Duration) -> (OwnedFd, OwnedFd, SessionChannel) {
    let (front, worker) = pair();
    let (control_of_front, control) = pair();
    let control = Arc::new(ControlChannel::new(control));
    let mut channel = SessionChannel::new(worker, &control);
    channel.hold = hold;
    (front, control_of_front, channel)
}

fn job(id: u64) -> Vec<u8> {
    let key = Arc::new(KeySelector::Label("orders".into()));
    let budget = Duration::from_secs(1);
    let task = Task::Describe;
    Job {
        id,
        budget,
        key,
        task,
    }
    .to_frame()
}

fn answer(id: u64, worked: Duration) -> FromSession {
    let outcome = Outcome::Opened(crate::ekm::Opened {
        by_or_aad: false,
        plaintext: SecretBytes::new(vec![1]),
    });
    let cost = Cost {
        worked,
        ..Cost::default()
    };
    FromSession::Answer(Answer { id, cost, outcome })
}

/// The ids of the answers of each packet that the front can read now.
fn packets(front: &OwnedFd) -> Vec<Vec<u64>> {
    let mut buffer = vec![0; MAX_FRAME];
    let next = || match receive(front, &mut buffer, RecvFlags::DONTWAIT) {
        Received::Frame(packet) => Some(FromSession::from_packet(packet).unwrap()),
        _ => None,
    };
    let id = |message: &FromSession| match message {
        FromSession::Answer(answer) => answer.id,
        FromSession::Ready => u64::MAX,
    };
    std::iter::from_fn(next)
        .map(|messages| messages.iter().map(id).collect())
        .collect()
}

#[test]
fn answers_of_waiting_jobs_go_out_together() {
    let (front, _control, mut channel) = session(Duration::MAX);
    let last = u64::try_from(MAX_BATCH).unwrap();
    let jobs: Vec<u8> = (1..=last).flat_map(job).collect();
    assert!(transmit(&front, &jobs, SendFlags::empty()));
    for id in 1..=last {
        assert_eq!(channel.next().unwrap().id, id);
        assert!(packets(&front).is_empty(), "an answer before {id}");
        assert!(channel.send(&answer(id, Duration::ZERO)));
    }
    assert_eq!(packets(&front), [(1..=last).collect::<Vec<_>>()]);
}

#[test]
fn no_answer_is_held_back_while_the_session_sleeps() {
    let (front, _control, mut channel) = session(Duration::MAX);
    assert!(channel.send(&FromSession::Ready));
    assert!(transmit(&front, &job(1), SendFlags::empty()));
    channel.next().unwrap();
    assert_eq!(packets(&front), [[u64::MAX]]);
    assert!(channel.send(&answer(1, Duration::ZERO)));
    shutdown(&front, Shutdown::Write).unwrap();
    assert!(channel.next().is_none(), "the end of the channel");
    assert_eq!(packets(&front), [[1]]);
}

#[test]
fn the_answer_of_a_slow_job_is_not_held_back() {
    let (front, _control, mut channel) = session(HOLD);
    let jobs: Vec<u8> = (1..=2).flat_map(job).collect();
    assert!(transmit(&front, &jobs, SendFlags::empty()));
    channel.next().unwrap();
    assert!(channel.send(&answer(1, HOLD)));
    assert_eq!(packets(&front), [[1]], "before the next job begins");
}

/// Also after a valid job, and when the session checks for more jobs before it sends its answers.
#[test]
fn an_invalid_frame_ends_the_session_and_the_worker() {
    let (front, control, mut channel) = session(Duration::MAX);
    assert!(transmit(&front, &job(1), SendFlags::empty()));
    channel.next().unwrap();
    assert!(channel.send(&answer(1, Duration::ZERO)));
    channel.is_pressed = true;
    let wrong = [&job(2)[..], &[0, 0]].concat();
    assert!(transmit(&front, &wrong, SendFlags::empty()));
    assert!(channel.next().is_none());
    let mut buffer = [0; 1];
    let end = receive(&control, &mut buffer, RecvFlags::DONTWAIT);
    assert!(matches!(end, Received::End));
}
