//! Periodic requests in addition to the load: their latencies, and whether they have responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::connection::Outcome;
use crate::target::{Proxy, get};

/// A periodic request: its time, its duration, and whether it succeeded.
type Reply = (Instant, Duration, bool);

/// A thread that sends periodic requests.
pub struct Pulse {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Reply>>,
}

/// The results of periodic requests.
pub struct Replies(Vec<Reply>);

impl Pulse {
    /// Sends `/livez` a hundred times per second.
    pub fn livez(proxy: &Arc<Proxy>) -> Self {
        let (proxy, mut connection) = (Arc::clone(proxy), None);
        Self::start(Duration::from_millis(10), move || {
            let mut open = match connection.take() {
                Some(open) => open,
                None => proxy.admin()?,
            };
            let answer = open.exchange(&get("/livez"))?;
            connection = Some(open);
            Ok(answer.status == 200)
        })
    }

    /// Sends GetHealthStatus, as KMS does, twenty times per second.
    pub fn health(proxy: &Arc<Proxy>) -> Outcome<Self> {
        let mut client = Client::connect(proxy)?;
        Ok(Self::start(Duration::from_millis(50), move || {
            client.health().map(|()| true)
        }))
    }

    fn start(period: Duration, mut ask: impl FnMut() -> Outcome<bool> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut replies = Vec::new();
            while !stopped.load(Relaxed) {
                let start = Instant::now();
                let good = ask().unwrap_or(false);
                replies.push((start, start.elapsed(), good));
                thread::sleep(period.saturating_sub(start.elapsed()));
            }
            replies
        });
        Self { stop, thread }
    }

    /// Stops the requests.
    pub fn stop(self) -> Outcome<Replies> {
        self.stop.store(true, Relaxed);
        let replies = self
            .thread
            .join()
            .map_err(|_| "a thread of periodic requests panicked")?;
        Ok(Replies(replies))
    }
}

impl Replies {
    /// Returns the latencies of a time range.
    pub fn latencies(&self, from: Instant, to: Instant) -> impl Iterator<Item = Duration> {
        let within = self
            .0
            .iter()
            .filter(move |(at, ..)| (from..to).contains(at));
        within.map(|(_, latency, _)| *latency)
    }

    /// Returns how many requests failed.
    pub fn missed(&self) -> usize {
        self.0.iter().filter(|(.., good)| !good).count()
    }
}
