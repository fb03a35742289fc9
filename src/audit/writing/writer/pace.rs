//! How long entries gather before they are written: one `fdatasync` for many costs each of them little.

use std::time::Duration;

/// So short that nobody notices it within KMS's 250 ms.
const MAX_PAUSE: Duration = Duration::from_millis(2);

/// How long the next entries gather when so many were written at once in this time: twice as long, so that the disk is busy at most a third
/// of the time. Whoever is alone waits for nobody.
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
    fn who_is_alone_does_not_wait_and_others_not_long() {
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
