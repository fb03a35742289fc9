//! Keys that the operator wants to know of, in the order in which the health check looks at them.

use std::collections::{HashSet, VecDeque};

use crate::ekm::KeySelector;

/// A line of keys, each of which is in it once.
#[derive(Default)]
pub(in crate::pkcs11) struct KeyQueue {
    order: VecDeque<KeySelector>,
    members: HashSet<KeySelector>,
}

impl KeyQueue {
    /// Puts a key at the end, if it is not in the line.
    pub(in crate::pkcs11) fn add(&mut self, selector: &KeySelector) {
        if !self.members.contains(selector) {
            self.members.insert(selector.clone());
            self.order.push_back(selector.clone());
        }
    }

    /// Takes the first keys, at most so many.
    pub(in crate::pkcs11) fn take(&mut self, count: usize) -> Vec<KeySelector> {
        let taken: Vec<_> = self.order.drain(..count.min(self.order.len())).collect();
        for selector in &taken {
            self.members.remove(selector);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_turn() {
        let keys = ["a", "b", "c"].map(|label| KeySelector::Label(label.to_owned()));
        let mut watched = KeyQueue::default();
        let mut seen = Vec::new();
        for _ in 0..3 {
            keys.iter().for_each(|key| watched.add(key));
            seen.extend(watched.take(2));
        }
        let expected = [0, 1, 2, 0, 1, 0].map(|n: usize| keys[n].clone());
        assert_eq!(seen, expected);
        assert_eq!(watched.take(9), [keys[2].clone()]);
    }
}
