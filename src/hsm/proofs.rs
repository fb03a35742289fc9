//! The key objects that workers have proved: the next worker need not prove them again.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use crate::hsm_protocol::ProofId;
use crate::sync::poisoned;

/// The most proofs that are kept. Beyond it all are forgotten, and made again by the next worker.
const MAX_PROOFS: usize = 65_536;

/// The proved objects of one HSM.
#[derive(Default)]
pub(super) struct Proofs(Mutex<HashSet<ProofId>>);

impl Proofs {
    fn lock(&self) -> MutexGuard<'_, HashSet<ProofId>> {
        self.0.lock().unwrap_or_else(poisoned)
    }

    /// An object is proved, or no longer.
    pub(super) fn note(&self, object: ProofId, is_proved: bool) {
        let mut all = self.lock();
        if !is_proved {
            all.remove(&object);
            return;
        }
        if all.len() >= MAX_PROOFS {
            all.clear();
        }
        all.insert(object);
    }

    /// Every proved object.
    pub(super) fn all(&self) -> Vec<ProofId> {
        self.lock().iter().copied().collect()
    }
}
