//! Something asked again and again beside the load: how long the answers take, and whether there are any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::connection::Outcome;
use crate::target::{Proxy, get};

/// A beat: when, how long it took, whether there was a good answer.
type Beat = (Instant, Duration, bool);

/// A thread that asks.
pub struct Pulse {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Beat>>,
}

/// What a pulse has seen.
pub struct Beats(Vec<Beat>);

impl Pulse {
    /// `/livez`, a hundred times a second.
    pub fn of_livez(proxy: &Arc<Proxy>) -> Self {
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

    /// GetHealthStatus, as KMS asks, twenty times a second.
    pub fn of_health(proxy: &Arc<Proxy>) -> Outcome<Self> {
        let mut client = Client::connect(proxy)?;
        Ok(Self::start(Duration::from_millis(50), move || {
            client.health().map(|()| true)
        }))
    }

    fn start(period: Duration, mut ask: impl FnMut() -> Outcome<bool> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut beats = Vec::new();
            while !stopped.load(Relaxed) {
                let start = Instant::now();
                let good = ask().unwrap_or(false);
                beats.push((start, start.elapsed(), good));
                thread::sleep(period.saturating_sub(start.elapsed()));
            }
            beats
        });
        Self { stop, thread }
    }

    /// Ends it.
    pub fn stop(self) -> Outcome<Beats> {
        self.stop.store(true, Relaxed);
        let beats = self.thread.join().map_err(|_| "a pulse died")?;
        Ok(Beats(beats))
    }
}

impl Beats {
    /// The latencies of the beats in a stretch of time.
    pub fn latencies(&self, from: Instant, to: Instant) -> impl Iterator<Item = Duration> {
        let within = self
            .0
            .iter()
            .filter(move |(at, ..)| (from..to).contains(at));
        within.map(|(_, latency, _)| *latency)
    }

    /// How many beats had no good answer.
    pub fn missed(&self) -> usize {
        self.0.iter().filter(|(.., good)| !good).count()
    }
}
