//! Which key objects are proved and what was logged of them. Kept while the device is opened again.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard};

use sha2::{Digest as _, Sha256};

use crate::hsm_protocol::ProofId;
use crate::sync::poisoned;

/// The most lines that one round of proofs writes: a token with a thousand bad keys must not fill the log.
const LINES_PER_ROUND: usize = 10;

/// The most objects and lines that are remembered. Beyond it all are forgotten, and found again.
const MAX_REMEMBERED: usize = 65_536;

/// The memory of one device.
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

    /// Whether the object is proved.
    pub(in crate::pkcs11) fn is_proved(&self, object: &str) -> bool {
        self.lock().proved.contains(&id_of(object))
    }

    /// The object is proved. Returns its id if that is new.
    pub(in crate::pkcs11) fn prove(&self, object: &str) -> Option<ProofId> {
        let id = id_of(object);
        remember(&mut self.lock().proved, id).then_some(id)
    }

    /// An object was proved by a worker that served before.
    pub(in crate::pkcs11) fn recall(&self, id: ProofId) {
        remember(&mut self.lock().proved, id);
    }

    /// The object is gone: another one may come that looks like it. Returns its id if it was proved.
    pub(in crate::pkcs11) fn forget(&self, object: &str) -> Option<ProofId> {
        let id = id_of(object);
        self.lock().proved.remove(&id).then_some(id)
    }

    /// Returns whether there is a line for something that has just begun.
    pub(in crate::pkcs11) fn has_line(&self) -> bool {
        let mut memory = self.lock();
        let has_line = memory.lines < LINES_PER_ROUND;
        match has_line {
            true => memory.lines += 1,
            false => memory.left_out += 1,
        }
        has_line
    }

    /// Returns whether there is a line for something that lasts: once, until [`Self::is_over`].
    pub(in crate::pkcs11) fn has_line_for(&self, what: String) -> bool {
        remember(&mut self.lock().logged, what) && self.has_line()
    }

    /// It is over: if it comes back, it has a line again.
    pub(in crate::pkcs11) fn is_over(&self, what: &str) {
        self.lock().logged.remove(what);
    }

    /// Ends a round, and returns for how many things there was no line.
    pub(in crate::pkcs11) fn end_round(&self) -> usize {
        let mut memory = self.lock();
        memory.lines = 0;
        std::mem::take(&mut memory.left_out)
    }
}

/// The id of an object: it says nothing about the object.
fn id_of(object: &str) -> ProofId {
    Sha256::digest(object).into()
}

/// Returns whether it is new.
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
    fn what_lasts_has_one_line_and_a_round_has_few() {
        let memory = ProofMemory::default();
        let lines = (0..20).filter(|n| memory.has_line_for(n.to_string()));
        assert_eq!(lines.count(), LINES_PER_ROUND);
        assert_eq!(memory.end_round(), 10);
        assert!(!memory.has_line_for("0".into()));
        memory.is_over("0");
        assert!(memory.has_line_for("0".into()));
        assert_eq!(memory.end_round(), 0);
    }

    #[test]
    fn an_object_that_is_gone_is_not_proved() {
        let memory = ProofMemory::default();
        assert!(memory.prove("a").is_some() && memory.prove("a").is_none());
        assert!(memory.is_proved("a"));
        assert!(memory.forget("a").is_some() && memory.forget("a").is_none());
        assert!(!memory.is_proved("a"));
    }
}
