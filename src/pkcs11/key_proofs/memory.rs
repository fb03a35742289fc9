//! The key objects that are proved, and the problems that were logged.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard};

use sha2::{Digest as _, Sha256};

use crate::hsm_protocol::ProofId;
use crate::sync::poisoned;

/// The maximum number of log lines per round of proofs: a token with a thousand bad keys must not fill the log.
const LINES_PER_ROUND: usize = 10;

/// The maximum number of stored objects, and of stored topics. At the limit all are deleted, and found again later.
const MAX_REMEMBERED: usize = 65_536;

/// The results of all proofs of one worker.
#[derive(Default)]
pub(in crate::pkcs11) struct ProofMemory(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    proved: HashSet<ProofId>,
    logged: HashSet<String>,
    lines: usize,
    left_out: usize,
}

impl ProofMemory {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(poisoned)
    }

    /// Returns whether the object is proved.
    pub(in crate::pkcs11) fn is_proved(&self, object: &str) -> bool {
        self.lock().proved.contains(&id_of(object))
    }

    /// Notes that the object is proved. Returns its id if that is new.
    pub(in crate::pkcs11) fn prove(&self, object: &str) -> Option<ProofId> {
        let id = id_of(object);
        remember(&mut self.lock().proved, id).then_some(id)
    }

    /// Notes an object that a previous worker proved.
    pub(in crate::pkcs11) fn recall(&self, id: ProofId) {
        remember(&mut self.lock().proved, id);
    }

    /// Deletes an object: a new object may have the same attributes. Returns its id if it was proved.
    pub(in crate::pkcs11) fn forget(&self, object: &str) -> Option<ProofId> {
        let id = id_of(object);
        self.lock().proved.remove(&id).then_some(id)
    }

    /// Returns whether one more line may be logged in this round.
    pub(in crate::pkcs11) fn may_log(&self) -> bool {
        let mut memory = self.lock();
        let may_log = memory.lines < LINES_PER_ROUND;
        match may_log {
            true => memory.lines += 1,
            false => memory.left_out += 1,
        }
        may_log
    }

    /// Returns whether a line about this topic may be logged: once, until [`Self::end_topic`] is called.
    pub(in crate::pkcs11) fn may_log_once(&self, topic: String) -> bool {
        remember(&mut self.lock().logged, topic) && self.may_log()
    }

    /// Ends a topic, so that it may be logged again.
    pub(in crate::pkcs11) fn end_topic(&self, topic: &str) {
        self.lock().logged.remove(topic);
    }

    /// Ends a round. Returns the number of lines that were left out.
    pub(in crate::pkcs11) fn end_round(&self) -> usize {
        let mut memory = self.lock();
        memory.lines = 0;
        std::mem::take(&mut memory.left_out)
    }
}

/// The id of an object: a hash, which reveals nothing about the object.
fn id_of(object: &str) -> ProofId {
    Sha256::digest(object).into()
}

/// Inserts a value and returns whether it is new.
fn remember<T: Hash + Eq>(all: &mut HashSet<T>, one: T) -> bool {
    if all.len() >= MAX_REMEMBERED {
        all.clear();
    }
    all.insert(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_logged_once_and_a_round_has_few_lines() {
        let memory = ProofMemory::default();
        let lines = (0..20).filter(|n| memory.may_log_once(n.to_string()));
        assert_eq!(lines.count(), LINES_PER_ROUND);
        assert_eq!(memory.end_round(), 10);
        assert!(!memory.may_log_once("0".into()));
        memory.end_topic("0");
        assert!(memory.may_log_once("0".into()));
        assert_eq!(memory.end_round(), 0);
    }

    #[test]
    fn a_deleted_object_is_not_proved() {
        let memory = ProofMemory::default();
        assert!(memory.prove("a").is_some() && memory.prove("a").is_none());
        assert!(memory.is_proved("a"));
        assert!(memory.forget("a").is_some() && memory.forget("a").is_none());
        assert!(!memory.is_proved("a"));
    }
}
