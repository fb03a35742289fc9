//! The key objects that workers have proved, so that the next worker does not repeat the proofs.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use crate::hsm_protocol::ProofId;
use crate::sync::poisoned;

/// The maximum number of stored proofs. At the limit all are deleted, and the next worker repeats them.
const MAX_PROOFS: usize = 65_536;

/// The proved key objects of one HSM.
#[derive(Default)]
pub(in crate::hsm) struct ProvedObjects(Mutex<HashSet<ProofId>>);

impl ProvedObjects {
    fn lock(&self) -> MutexGuard<'_, HashSet<ProofId>> {
        self.0.lock().unwrap_or_else(poisoned)
    }

    /// Notes that an object is proved, or no longer proved.
    pub(in crate::hsm) fn note(&self, object: ProofId, is_proved: bool) {
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

    /// Returns all proved objects.
    pub(in crate::hsm) fn all(&self) -> Vec<ProofId> {
        self.lock().iter().copied().collect()
    }
}
