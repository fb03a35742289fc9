//! Keys that a proof has rejected. Requests for them fail without a call of the device.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::proof::ProofRejection;
use crate::ekm::{ExpectedKey, KeySelector};

/// The rejected keys, with the reason. Only the health monitor writes.
#[derive(Default)]
pub(in crate::pkcs11) struct Rejections(ArcSwap<HashMap<KeySelector, Arc<ProofRejection>>>);

impl Rejections {
    /// Returns the rejection of the key, if it is rejected.
    pub(in crate::pkcs11) fn of(&self, key: &KeySelector) -> Option<Arc<ProofRejection>> {
        self.0.load().get(key).map(Arc::clone)
    }

    /// Rejects the key, or accepts it again. Returns whether that is a change.
    pub(in crate::pkcs11) fn set(
        &self,
        key: &KeySelector,
        rejection: Option<ProofRejection>,
    ) -> bool {
        if self.of(key).as_deref() == rejection.as_ref() {
            return false;
        }
        let mut all = HashMap::clone(&self.0.load());
        match rejection {
            Some(rejection) => all.insert(key.clone(), Arc::new(rejection)),
            None => all.remove(key),
        };
        self.0.store(Arc::new(all));
        true
    }

    /// Deletes keys that are no longer expected.
    pub(in crate::pkcs11) fn keep_only(&self, keys: &[ExpectedKey]) {
        let mut all = HashMap::clone(&self.0.load());
        all.retain(|known, _| keys.iter().any(|key| *key.selector == *known));
        self.0.store(Arc::new(all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ekm::KeyManagerFault;

    #[test]
    fn setting_the_same_rejection_again_is_not_a_change() {
        let rejections = Rejections::default();
        let key = KeySelector::Label("orders".into());
        let rejection = |reason: &str| {
            Some(ProofRejection {
                fault: KeyManagerFault::UsageNotPermitted,
                reason: reason.into(),
            })
        };
        assert!(!rejections.set(&key, None));
        assert!(rejections.set(&key, rejection("a")));
        assert!(!rejections.set(&key, rejection("a")));
        assert!(rejections.set(&key, rejection("b")));
        assert_eq!(rejections.of(&key).unwrap().reason, "b");
        rejections.keep_only(&[]);
        assert!(rejections.of(&key).is_none());
    }
}
