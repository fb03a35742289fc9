//! The list of expected keys, which a worker receives in several orders.
//!
//! # Invariants
//! - A list without an end cannot exhaust the memory of the worker.

use thiserror::Error;

use super::key_news::WireSelector;

/// The maximum number of keys in a list. The front sends no more.
pub const MAX_EXPECTED_KEYS: usize = 1_000_000;

/// The maximum size of all labels and ids in a list, in bytes. The largest configuration file is not longer.
const MAX_BYTES: usize = 64 << 20;

/// A key, with whether a key store encrypts with it.
pub type Expected = (WireSelector, bool);

/// The list exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a list of expected keys is too long")]
pub struct ListTooLong;

/// A list that is being received.
#[derive(Debug, Default)]
pub struct ExpectedList {
    keys: Vec<Expected>,
    bytes: usize,
}

impl ExpectedList {
    /// Adds the keys of one order. Returns the list when it is complete.
    ///
    /// # Errors
    /// When the list has too many keys or bytes.
    pub fn add(
        &mut self,
        is_first: bool,
        is_last: bool,
        keys: Vec<Expected>,
    ) -> Result<Option<Vec<Expected>>, ListTooLong> {
        if is_first {
            *self = Self::default();
        }
        let bytes = keys.iter().map(|(key, _)| length(key)).sum::<usize>();
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES || self.keys.len().saturating_add(keys.len()) > MAX_EXPECTED_KEYS
        {
            return Err(ListTooLong);
        }
        self.keys.extend(keys);
        Ok(is_last.then(|| std::mem::take(self).keys))
    }
}

fn length(key: &WireSelector) -> usize {
    match key {
        WireSelector::Label(label) => label.len(),
        WireSelector::Id(id) => id.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: usize, length: usize) -> Vec<Expected> {
        vec![(WireSelector::Id(vec![7; length]), true); count]
    }

    #[test]
    fn a_list_is_received_in_parts_and_restarts_with_a_first_part() {
        let mut list = ExpectedList::default();
        assert_eq!(list.add(true, false, keys(2, 1)), Ok(None));
        assert_eq!(list.add(false, true, keys(1, 1)), Ok(Some(keys(3, 1))));
        assert_eq!(list.add(false, false, keys(5, 1)), Ok(None));
        assert_eq!(list.add(true, true, keys(1, 1)), Ok(Some(keys(1, 1))));
        assert_eq!(list.add(true, true, Vec::new()), Ok(Some(Vec::new())));
    }

    #[test]
    fn a_list_without_an_end_is_rejected_at_the_limit() {
        for (count, length) in [(1_000, 0), (1, 1 << 20)] {
            let mut list = ExpectedList::default();
            let parts = (0..2_000).map(|_| list.add(false, false, keys(count, length)));
            let taken = parts.take_while(Result::is_ok).count();
            assert_eq!(taken, if length == 0 { 1_000 } else { 64 });
        }
    }
}
