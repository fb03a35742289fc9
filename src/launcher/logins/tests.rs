//! Tests of each rule, and of a model with workers, crashes and restarts in an order from a seeded random generator.

mod files;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::hsm_protocol::launch::{HsmName, SettingsBytes};
use crate::test_random::SplitMix64;

/// The content that survives a crash.
type Disk = Rc<RefCell<Vec<Entry>>>;

/// A store that loses writes while `loses` is set.
#[derive(Clone, Default)]
struct Memory {
    disk: Disk,
    loses: Rc<RefCell<bool>>,
}

impl Store for Memory {
    fn save(&mut self, entries: &[Entry]) -> io::Result<()> {
        if !*self.loses.borrow() {
            *self.disk.borrow_mut() = entries.to_owned();
        }
        Ok(())
    }
}

pub(super) fn key(serial: u8, pin: u8) -> LoginKey {
    (Serial([serial; 16]), PinFingerprint([pin; 32]))
}

pub(super) fn requester(hsm: &str, settings: u8) -> Requester {
    let settings = SettingsBytes::new(vec![settings]).unwrap();
    Requester::new(&HsmName::new(hsm).unwrap(), &settings)
}

fn logins(memory: &Memory) -> Logins<Memory> {
    let entries = memory.disk.borrow().clone();
    Logins::new(memory.clone(), entries)
}

/// Requests a login for worker 1. Returns whether it is allowed.
fn request(logins: &mut Logins<Memory>, requester: &Requester, key: LoginKey) -> bool {
    logins.begin(1, requester.clone(), key).unwrap();
    let (worker, decision) = logins.decide().unwrap();
    assert_eq!(worker, 1);
    decision == Decision::Allowed
}

/// Makes a login with this outcome. Returns whether it was allowed.
fn log_in(logins: &mut Logins<Memory>, requester: &Requester, outcome: LoginOutcome) -> bool {
    let is_allowed = request(logins, requester, key(1, 1));
    if is_allowed {
        logins.end(1, outcome).unwrap();
    }
    is_allowed
}

const REJECTED: LoginOutcome = LoginOutcome::Rejected(0xa0);

#[test]
fn a_rejected_pin_is_not_tried_again_by_any_hsm_or_after_a_restart() {
    let memory = Memory::default();
    let (a, b) = (requester("a", 1), requester("b", 1));
    let mut first = logins(&memory);
    assert!(log_in(&mut first, &a, REJECTED));
    assert!(!log_in(&mut first, &a, REJECTED));
    let mut second = logins(&memory);
    assert!(!log_in(&mut second, &a, REJECTED));
    assert!(!log_in(&mut second, &b, REJECTED));
    assert!(request(&mut second, &a, key(1, 2)), "a different PIN");
    second.end(1, LoginOutcome::LoggedIn).unwrap();
    assert!(request(&mut second, &a, key(2, 1)), "a different token");
}

#[test]
fn changed_settings_have_one_attempt_each() {
    let memory = Memory::default();
    let mut logins = logins(&memory);
    assert!(log_in(&mut logins, &requester("a", 1), REJECTED));
    assert!(log_in(&mut logins, &requester("a", 2), REJECTED));
    for settings in [1, 2, 1, 2] {
        assert!(!log_in(&mut logins, &requester("a", settings), REJECTED));
    }
    // The entry does not contain this HSM, so its settings have not changed.
    assert!(!log_in(&mut logins, &requester("b", 1), REJECTED));
    assert!(log_in(&mut logins, &requester("b", 2), LoginOutcome::Other));
    assert!(log_in(
        &mut logins,
        &requester("b", 2),
        LoginOutcome::LoggedIn
    ));
    assert!(memory.disk.borrow().is_empty());
    assert!(log_in(
        &mut logins,
        &requester("a", 1),
        LoginOutcome::LoggedIn
    ));
}

#[test]
fn after_two_logins_without_a_report_no_more_are_allowed() {
    let memory = Memory::default();
    for is_allowed in [true, true, false, false] {
        let mut logins = logins(&memory);
        assert_eq!(
            request(&mut logins, &requester("a", 1), key(1, 1)),
            is_allowed
        );
        logins.worker_ended(1);
    }
    let reason = {
        let mut logins = logins(&memory);
        logins.begin(1, requester("a", 1), key(1, 1)).unwrap();
        logins.decide().unwrap().1
    };
    let Decision::Refused(reason) = reason else {
        panic!("{reason:?}");
    };
    assert!(reason.contains("2 workers ended"), "{reason}");
}

#[test]
fn a_successful_login_clears_a_login_without_a_report() {
    let memory = Memory::default();
    let mut logins = logins(&memory);
    for _ in 0..10 {
        assert!(request(&mut logins, &requester("a", 1), key(1, 1)));
        logins.worker_ended(1);
        assert!(log_in(
            &mut logins,
            &requester("a", 1),
            LoginOutcome::LoggedIn
        ));
    }
}

#[test]
fn failures_that_do_not_concern_the_pin_do_not_count() {
    let memory = Memory::default();
    let mut logins = logins(&memory);
    for _ in 0..100 {
        assert!(log_in(&mut logins, &requester("a", 1), LoginOutcome::Other));
    }
    assert!(memory.disk.borrow().is_empty());
}

#[test]
fn a_token_has_one_login_at_a_time() {
    let memory = Memory::default();
    let mut logins = logins(&memory);
    for worker in 1..=3 {
        logins.begin(worker, requester("a", 1), key(1, 1)).unwrap();
    }
    logins.begin(4, requester("b", 1), key(2, 1)).unwrap();
    assert_eq!(logins.decide(), Some((1, Decision::Allowed)));
    assert_eq!(logins.decide(), Some((4, Decision::Allowed)));
    assert_eq!(logins.decide(), None);
    logins.worker_ended(2);
    assert!(logins.begin(1, requester("a", 1), key(1, 1)).is_err());
    assert!(
        logins.end(3, REJECTED).is_err(),
        "the worker has no permission"
    );
    logins.end(1, REJECTED).unwrap();
    let (worker, decision) = logins.decide().unwrap();
    assert_eq!(worker, 3);
    assert!(matches!(decision, Decision::Refused(_)));
    assert_eq!(logins.decide(), None);
}

#[test]
fn one_hsm_cannot_fill_the_record() {
    let memory = Memory::default();
    let mut logins = logins(&memory);
    for serial in 0..200 {
        let is_allowed = request(&mut logins, &requester("a", 1), key(serial, 1));
        assert_eq!(is_allowed, usize::from(serial) < MAX_ENTRIES);
        if is_allowed {
            logins.end(1, REJECTED).unwrap();
        }
    }
    assert!(request(&mut logins, &requester("b", 1), key(201, 1)));
}

/// The service, its tokens, and the number of login attempts at each token.
struct Model {
    random: SplitMix64,
    memory: Memory,
    logins: Logins<Memory>,
    last_worker: u32,
    /// Workers that wait or log in: HSM, token and PIN, and whether the login is allowed.
    workers: BTreeMap<u32, (usize, LoginKey, bool)>,
    /// The settings of each HSM.
    settings: [u8; 3],
    attempts: BTreeMap<LoginKey, usize>,
    changes: usize,
}

const HSMS: [&str; 3] = ["a", "b", "c"];

impl Model {
    fn new(seed: u64) -> Self {
        let memory = Memory::default();
        Self {
            random: SplitMix64::new(seed),
            logins: logins(&memory),
            memory,
            last_worker: 0,
            workers: BTreeMap::new(),
            settings: [0; 3],
            attempts: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Returns token and PIN of an HSM. The HSMs a and b are the same token with the same PIN; c is another token. All PINs are wrong.
    fn key_of(hsm: usize) -> LoginKey {
        key(if hsm == 2 { 2 } else { 1 }, 1)
    }

    fn step(&mut self, changes_settings: bool) {
        match self.random.below(12) {
            0..=3 => self.start_worker(),
            4..=6 => self.attempt_and(Self::report),
            7 => self.attempt_and(Self::kill),
            8 => self.without_attempt_and(Self::kill),
            9 => self.without_attempt_and(|model, worker| {
                model.logins.end(worker, LoginOutcome::Other).unwrap();
                model.workers.remove(&worker);
            }),
            10 => self.restart(),
            _ if changes_settings => {
                let hsm = self.random.below(3) as usize;
                self.settings[hsm] = self.random.below(4) as u8;
                self.changes += 1;
            }
            _ => self.lose_a_write_and_restart(),
        }
        self.decide();
    }

    fn start_worker(&mut self) {
        self.last_worker += 1;
        let hsm = self.random.below(3) as usize;
        let key = Self::key_of(hsm);
        let requester = requester(HSMS[hsm], self.settings[hsm]);
        self.logins.begin(self.last_worker, requester, key).unwrap();
        self.workers.insert(self.last_worker, (hsm, key, false));
    }

    fn decide(&mut self) {
        while let Some((worker, decision)) = self.logins.decide() {
            match decision {
                Decision::Allowed => self.workers.get_mut(&worker).unwrap().2 = true,
                Decision::Refused(_) => drop(self.workers.remove(&worker)),
            }
        }
    }

    fn allowed(&mut self) -> Option<u32> {
        let allowed = self.workers.iter().filter(|(_, (_, _, allowed))| *allowed);
        let allowed: Vec<u32> = allowed.map(|(worker, _)| *worker).collect();
        let count = allowed.len() as u64;
        (count > 0).then(|| allowed[self.random.below(count) as usize])
    }

    /// Lets a worker call `C_Login`, and then runs `then`.
    fn attempt_and(&mut self, then: impl Fn(&mut Self, u32)) {
        if let Some(worker) = self.allowed() {
            let (_, key, _) = self.workers[&worker];
            *self.attempts.entry(key).or_default() += 1;
            then(self, worker);
        }
    }

    fn without_attempt_and(&mut self, then: impl Fn(&mut Self, u32)) {
        if let Some(worker) = self.allowed() {
            then(self, worker);
        }
    }

    fn report(&mut self, worker: u32) {
        self.logins.end(worker, REJECTED).unwrap();
        self.workers.remove(&worker);
    }

    fn kill(&mut self, worker: u32) {
        self.logins.worker_ended(worker);
        self.workers.remove(&worker);
    }

    fn restart(&mut self) {
        self.workers.clear();
        self.logins = logins(&self.memory);
    }

    /// Simulates a crash of the machine while the record is written: no worker received the answer.
    fn lose_a_write_and_restart(&mut self) {
        *self.memory.loses.borrow_mut() = true;
        match self.random.below(2) {
            0 => {
                self.start_worker();
                // The answer is not sent.
                self.logins.decide();
            }
            _ => self.attempt_and(Self::report),
        }
        self.restart();
        *self.memory.loses.borrow_mut() = false;
    }
}

#[test]
fn a_token_sees_at_most_two_attempts_with_a_wrong_pin() {
    let mut most = 0;
    for seed in 0..2_000 {
        let mut model = Model::new(seed);
        for _ in 0..120 {
            model.step(false);
            let attempts = model.attempts.values().max().copied().unwrap_or(0);
            assert!(attempts <= 2, "seed {seed}: {:?}", model.attempts);
            most = most.max(attempts);
        }
    }
    assert_eq!(most, 2, "the model does not reach the limit");
}

#[test]
fn changes_of_settings_add_at_most_one_attempt_each() {
    for seed in 0..1_000 {
        let mut model = Model::new(seed);
        for _ in 0..200 {
            model.step(true);
        }
        // The shared token has two HSMs with four settings each.
        let limit = 2 + model.changes.min(8);
        let attempts = model.attempts.values().max().copied().unwrap_or(0);
        assert!(attempts <= limit, "seed {seed}: {attempts} attempts");
    }
}
