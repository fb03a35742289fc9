//! How long to collect entries before a write, so that one `fdatasync` covers many entries.

use std::time::Duration;

/// The maximum pause. It is small compared to the 250 ms of KMS.
const MAX_PAUSE: Duration = Duration::from_millis(2);

/// Returns how long to collect entries after a write of `written` entries in the time `took`. The pause is twice that time, so that the
/// disk is busy at most a third of the time. After a write of a single entry, the pause is zero.
pub(super) fn pause(written: usize, took: Duration) -> Duration {
    match written {
        0 | 1 => Duration::ZERO,
        _ => took.saturating_mul(2).min(MAX_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_entry_does_not_wait_and_others_wait_briefly() {
        let millis = Duration::from_millis;
        for alone in [0, 1] {
            assert_eq!(pause(alone, millis(1)), Duration::ZERO);
        }
        assert_eq!(
            pause(2, Duration::from_micros(300)),
            Duration::from_micros(600)
        );
        assert_eq!(pause(2, millis(500)), MAX_PAUSE);
    }
}
