//! Finds gaps and repetitions in the numbers of lines.

/// Gaps and repetitions in the numbers of the lines that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaks {
    /// How many numbers are missing between lines.
    pub missing: u64,
    /// The first gap: its first and its last number.
    pub first_missing: Option<(u64, u64)>,
    /// How many lines have a number that is not higher than all previous ones.
    pub repeated: u64,
}

/// The numbers of the lines so far.
#[derive(Default)]
pub(super) struct Numbers {
    /// The highest number. 0 before the first line.
    pub highest: u64,
    pub breaks: Breaks,
}

impl Numbers {
    /// Adds the number of the next line.
    pub(super) fn add(&mut self, seq: u64) {
        let expected = self.highest.saturating_add(1);
        if self.highest > 0 && seq > expected {
            self.breaks.missing += seq - expected;
            let _ = self.breaks.first_missing.get_or_insert((expected, seq - 1));
        }
        self.breaks.repeated += u64::from(seq <= self.highest);
        self.highest = self.highest.max(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_repeats_are_counted() {
        let breaks = |numbers: &[u64]| {
            let mut all = Numbers::default();
            numbers.iter().for_each(|seq| all.add(*seq));
            let Breaks {
                missing,
                first_missing,
                repeated,
            } = all.breaks;
            (missing, first_missing, repeated)
        };
        assert_eq!(breaks(&[5, 6, 7]), (0, None, 0));
        assert_eq!(breaks(&[1, 4, 5, 8]), (4, Some((2, 3)), 0));
        assert_eq!(breaks(&[1, 2, 1, 2, 3]), (0, None, 2));
        assert_eq!(breaks(&[u64::MAX, 1]), (0, None, 1));
    }
}
