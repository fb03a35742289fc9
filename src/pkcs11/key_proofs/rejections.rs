//! Keys that a proof has rejected: their requests are answered without a call of the device.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::proof::Rejection;
use crate::ekm::{ExpectedKey, KeySelector};

/// Every rejected key, with why. Written by the health monitor only.
#[derive(Default)]
pub(in crate::pkcs11) struct Rejections(ArcSwap<HashMap<KeySelector, Arc<Rejection>>>);

impl Rejections {
    /// Why the key is rejected, if it is.
    pub(in crate::pkcs11) fn of(&self, key: &KeySelector) -> Option<Arc<Rejection>> {
        self.0.load().get(key).map(Arc::clone)
    }

    /// Rejects the key, or admits it again. Returns whether that is new.
    pub(in crate::pkcs11) fn set(&self, key: &KeySelector, rejection: Option<Rejection>) -> bool {
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

    /// Forgets keys that are no longer expected.
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
    fn a_change_is_new_once() {
        let rejections = Rejections::default();
        let key = KeySelector::Label("orders".into());
        let rejection = |reason: &str| {
            Some(Rejection {
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
