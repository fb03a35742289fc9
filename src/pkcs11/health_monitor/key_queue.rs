//! A queue of expected keys, in the order in which they are checked.

use std::collections::{HashSet, VecDeque};

use crate::ekm::KeySelector;

/// A queue that contains each key at most once.
#[derive(Default)]
pub(in crate::pkcs11) struct KeyQueue {
    order: VecDeque<KeySelector>,
    members: HashSet<KeySelector>,
}

impl KeyQueue {
    /// Appends a key that is not in the queue.
    pub(in crate::pkcs11) fn add(&mut self, selector: &KeySelector) {
        if !self.members.contains(selector) {
            self.members.insert(selector.clone());
            self.order.push_back(selector.clone());
        }
    }

    /// Removes and returns the first keys, at most `count`.
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
    fn keys_are_taken_in_turn() {
        let keys = ["a", "b", "c"].map(|label| KeySelector::Label(label.to_owned()));
        let mut queue = KeyQueue::default();
        let mut seen = Vec::new();
        for _ in 0..3 {
            keys.iter().for_each(|key| queue.add(key));
            seen.extend(queue.take(2));
        }
        let expected = [0, 1, 2, 0, 1, 0].map(|n: usize| keys[n].clone());
        assert_eq!(seen, expected);
        assert_eq!(queue.take(9), [keys[2].clone()]);
    }
}
