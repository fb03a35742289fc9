//! `audit show --limit`: the last entries instead of all.
//!
//! # Invariants
//! - No more entries are in memory than the limit, however long the files are.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// How many entries of the audit trail to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Every entry.
    All,
    /// The last ones, at most this many.
    Last(NonZeroUsize),
}

impl Limit {
    /// The default on a terminal: about one screen.
    pub(super) const SCREEN: Self = Self::Last(NonZeroUsize::MIN.saturating_add(49));
}

impl FromStr for Limit {
    type Err = &'static str;

    /// Parses a number from 1, or `all`. Zero is an error: some programs read it as none, others as all.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => number
                .parse()
                .map(Self::Last)
                .map_err(|_| "it must be a number from 1, or \"all\""),
        }
    }
}

/// The last entries, while the files are read.
pub(super) struct Latest {
    limit: NonZeroUsize,
    entries: VecDeque<Vec<u8>>,
    older: u64,
}

impl Latest {
    /// Keeps at most this many entries; none for [`Limit::All`].
    pub(super) fn within(limit: Limit) -> Option<Self> {
        match limit {
            Limit::All => None,
            Limit::Last(limit) => Some(Self {
                limit,
                entries: VecDeque::new(),
                older: 0,
            }),
        }
    }

    /// Adds the next entry; drops the oldest one if the limit is reached.
    pub(super) fn push(&mut self, entry: Vec<u8>) {
        if self.entries.len() == self.limit.get() {
            self.entries.pop_front();
            self.older += 1;
        }
        self.entries.push_back(entry);
    }

    /// The entries, oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(Vec::as_slice)
    }

    /// Returns a note with the number of dropped entries, or `None` if no entry was dropped.
    pub(super) fn note(&self) -> Option<String> {
        let noun = match self.older {
            0 => return None,
            1 => "entry",
            _ => "entries",
        };
        let older = with_commas(self.older);
        Some(format!(
            "{older} older {noun} not shown; use --limit N or --limit all"
        ))
    }
}

/// The number with a comma before every group of three digits.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_from_one_or_all() {
        assert_eq!("all".parse(), Ok(Limit::All));
        assert_eq!("50".parse(), Ok(Limit::SCREEN));
        for text in ["", "0", "-1", "ALL", "1.5", "99999999999999999999999"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_entries_are_kept_and_the_others_counted() {
        let mut latest = Latest::within("3".parse().unwrap()).unwrap();
        for entry in ["1", "2", "3"] {
            latest.push(entry.into());
        }
        assert_eq!(latest.note(), None);
        latest.push(b"4".to_vec());
        assert!(latest.note().unwrap().starts_with("1 older entry not"));
        for entry in 5..=1234 {
            latest.push(entry.to_string().into_bytes());
        }
        assert!(latest.entries().eq([&b"1232"[..], b"1233", b"1234"]));
        let note = latest.note().unwrap();
        assert!(note.starts_with("1,231 older entries not shown"), "{note}");
    }

    #[test]
    fn digits_are_in_groups_of_three() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (number, text) in cases {
            assert_eq!(with_commas(number), text);
        }
    }
}
