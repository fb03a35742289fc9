//! Limits how often metrics are rendered: one rendering at a time, and [`PER_SECOND`] on average.
//!
//! A rendering uses one or two milliseconds of CPU, on the threads that serve KMS. A limit of connections is not enough, because one connection can carry
//! thousands of requests. Requests over the rate wait in the order of their arrival.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The average number of renderings per second. Ten scrapers need one or two.
const PER_SECOND: u32 = 50;

/// The number of renderings without a delay after a pause.
const BURST: u32 = 100;

/// The limit of renderings.
#[derive(Default)]
pub(super) struct RenderLimit {
    /// The time at which the whole burst is available again. Each rendering advances it by one interval. `None` before the first rendering.
    full_at: Mutex<Option<Instant>>,
}

impl RenderLimit {
    /// Waits until the rate allows a rendering, and runs `work`. Only one `work` runs at a time.
    pub(super) async fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut full_at = self.full_at.lock().await;
        let each = Duration::from_secs(1) / PER_SECOND;
        let next = full_at.map_or_else(Instant::now, |at| at.max(Instant::now())) + each;
        if let Some(due) = next.checked_sub(each * BURST) {
            sleep_until(due).await;
        }
        *full_at = Some(next);
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_not_delayed_and_further_renderings_have_the_rate() {
        let (render_limit, start) = (RenderLimit::default(), Instant::now());
        for _ in 0..BURST {
            render_limit.run(|| ()).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..PER_SECOND {
            render_limit.run(|| ()).await;
        }
        let took = start.elapsed();
        assert!(
            took.abs_diff(Duration::from_secs(1)) < Duration::from_millis(60),
            "{took:?}"
        );
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..BURST {
            render_limit.run(|| ()).await;
        }
        assert_eq!(
            start.elapsed(),
            Duration::ZERO,
            "a pause restores the burst"
        );
        render_limit.run(|| ()).await;
        assert!(start.elapsed() > Duration::ZERO);
    }
}
