//! Workers that answer wrongly, late or not at all.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use super::connection::MAX_PARTS;
use super::*;
use crate::ekm::{KeyAttributes, KeyKind, KeyUsageFlags};
use crate::hsm_protocol::KeyProtection;
use crate::hsm_protocol::launch::WorkerEnd;

/// A worker that takes scripted steps, and counts its kills and requests.
struct Scripted {
    steps: VecDeque<Result<Vec<u8>, WorkerFault>>,
    killed: Rc<RefCell<u32>>,
    sent: Rc<RefCell<u32>>,
}

impl Worker for Scripted {
    fn send(&mut self, _: &[u8]) -> Result<(), WorkerFault> {
        *self.sent.borrow_mut() += 1;
        Ok(())
    }

    fn receive(&mut self, _: Instant) -> Result<Vec<u8>, WorkerFault> {
        self.steps.pop_front().unwrap_or(Err(WorkerFault::Hangs))
    }

    fn kill(&mut self) {
        *self.killed.borrow_mut() += 1;
    }
}

struct Case {
    token: OpenToken,
    killed: Rc<RefCell<u32>>,
    sent: Rc<RefCell<u32>>,
}

/// An open token whose worker takes these steps next.
fn case(steps: impl IntoIterator<Item = Result<Vec<u8>, WorkerFault>>) -> Case {
    let (killed, sent) = (Rc::default(), Rc::default());
    let worker = Scripted {
        steps: steps.into_iter().collect(),
        killed: Rc::clone(&killed),
        sent: Rc::clone(&sent),
    };
    let connection = Connection {
        worker: Box::new(worker),
        fault: None,
    };
    let token = OpenToken {
        connection: RefCell::new(connection),
        description: String::new(),
        gcm: GcmFinding::Proved(String::new()),
    };
    Case {
        token,
        killed,
        sent,
    }
}

fn frame(answer: &Answer) -> Result<Vec<u8>, WorkerFault> {
    Ok(answer.to_frame().unwrap())
}

fn part(is_last: bool) -> Answer {
    Answer::TokenKeys {
        keys: Vec::new(),
        is_last,
        unreadable: None,
    }
}

#[test]
fn a_worker_that_hangs_is_killed_and_gets_no_more_requests() {
    let case = case([Err(WorkerFault::Hangs), frame(&part(true))]);
    let error = case.token.list_keys().unwrap_err();
    assert!(error.to_string().contains("hangs: no answer within 60s"));
    assert_eq!(case.token.list_keys().unwrap_err(), error);
    assert_eq!(case.token.fault(), Some(error));
    assert_eq!((*case.killed.borrow(), *case.sent.borrow()), (1, 1));
}

#[test]
fn the_end_of_a_worker_is_reported_with_its_signal() {
    let case = case([Err(WorkerFault::Ended(WorkerEnd::Killed(11)))]);
    let error = case.token.list_keys().unwrap_err().to_string();
    assert!(error.contains("killed by signal 11"), "{error}");
}

#[test]
fn a_failed_request_does_not_affect_later_requests() {
    let failed = Answer::failed("the\u{1b}[2J device");
    let case = case([frame(&failed), frame(&part(false)), frame(&part(true))]);
    let error = case.token.list_keys().unwrap_err();
    assert_eq!(error.to_string(), "the [2J device");
    assert!(case.token.list_keys().unwrap().keys.is_empty());
    assert_eq!(*case.killed.borrow(), 0);
}

#[test]
fn a_wrong_answer_ends_the_worker() {
    let wrong: [Result<Vec<u8>, WorkerFault>; 4] = [
        Ok(b"{}".to_vec()),
        Ok(Vec::new()),
        frame(&Answer::Done),
        frame(&Answer::Is(true)),
    ];
    for step in wrong {
        let case = case([step, frame(&part(true))]);
        assert!(case.token.list_keys().is_err());
        assert_eq!(*case.killed.borrow(), 1);
    }
    let case = case([frame(&Answer::Is(true))]);
    let key = TokenKey {
        number: 1,
        label: None,
        id: Vec::new(),
        attributes: KeyAttributes {
            kind: KeyKind::Aes(256),
            usage: KeyUsageFlags::default(),
        },
        protection: KeyProtection::default(),
    };
    assert!(
        case.token.try_key(&key).is_err(),
        "it is not the answer \"done\""
    );
    assert_eq!(*case.killed.borrow(), 1);
}

#[test]
fn an_endless_list_is_rejected() {
    let case = case((0..MAX_PARTS + 1).map(|_| frame(&part(false))));
    let error = case.token.list_keys().unwrap_err().to_string();
    assert!(error.contains("does not end"), "{error}");
    assert_eq!(*case.killed.borrow(), 1);
}
