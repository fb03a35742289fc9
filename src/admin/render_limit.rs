//! How often metrics are rendered: one at a time, and [`PER_SECOND`] on average.
//!
//! Rendering costs a millisecond or two of CPU, on the threads that serve KMS. The number of connections does not bound it, because one connection
//! can carry thousands of requests. A request over the rate waits for its turn, in the order of arrival.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Renderings per second. Ten scrapers need one or two.
const PER_SECOND: u32 = 50;

/// So many renderings may come at once after a pause.
const BURST: u32 = 100;

/// Gives turns.
#[derive(Default)]
pub(super) struct RenderLimit {
    /// When the burst is used up if no more turns are taken: each turn moves it on. `None` before the first turn.
    full_at: Mutex<Option<Instant>>,
}

impl RenderLimit {
    /// Waits for a turn, and does `work` in it. No other work is done at the same time.
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
    async fn a_burst_is_served_at_once_and_more_of_it_at_the_rate() {
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
            "a pause restores the burst, and no more"
        );
        render_limit.run(|| ()).await;
        assert!(start.elapsed() > Duration::ZERO);
    }
}
