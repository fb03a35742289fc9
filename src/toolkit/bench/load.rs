//! The two loops. The open loop starts requests at their intended times; the closed loop starts each after the previous response.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::plan::{Plan, Shape};
use super::pool::{ConnectionPool, Exchange, Wire};
use super::recording::{Recording, Sample};
use super::report::Figures;
use super::text::milli;
use super::work::Work;
use crate::sync::{self, poisoned, task, task_on};

/// The interval of progress reports.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);

/// The requests of the last interval.
pub struct Snapshot {
    /// The time since the load started.
    pub since: Duration,
    /// The figures of the requests that ended in the interval.
    pub figures: Figures,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures {
            per_second,
            failed,
            p50_us,
            p99_us,
            max_us,
            ..
        } = &self.figures;
        let (p50, p99, max) = (milli(*p50_us), milli(*p99_us), milli(*max_us));
        let since = self.since.as_secs_f64();
        write!(
            f,
            "{since:>6.0} s {per_second:>8.0}/s  p50 {p50} p99 {p99} max {max} ms, {failed} failed"
        )
    }
}

/// A running load.
pub struct Load<W: Wire> {
    plan: Plan,
    pool: ConnectionPool<W>,
    work: Work,
    recording: Mutex<Recording>,
    start: Instant,
    stop: AtomicBool,
}

/// The result of a load.
pub struct LoadResult<W: Wire> {
    /// The measurements.
    pub recording: Recording,
    /// The time during which requests were started.
    pub began_for: Duration,
    /// True if the load was interrupted.
    pub was_interrupted: bool,
    /// The connections, for the next load.
    pub pool: ConnectionPool<W>,
    /// The request bodies, for the next load.
    pub work: Work,
}

impl<W: Wire> Load<W> {
    /// Runs until the plan is complete or `interrupted` resolves, and all started requests have ended.
    pub async fn run(
        plan: Plan,
        pool: ConnectionPool<W>,
        work: Work,
        interrupted: impl Future<Output = ()>,
        on_snapshot: &mut impl FnMut(&Snapshot),
    ) -> Option<LoadResult<W>> {
        let load = Arc::new(Self {
            recording: Mutex::new(Recording::new(&plan)),
            start: Instant::now(),
            stop: AtomicBool::new(false),
            plan,
            pool,
            work,
        });
        let (running, mut ended) = mpsc::channel::<()>(1);
        match load.plan.shape {
            // The load cannot run without its thread.
            Shape::Open(rate) | Shape::Ramp(rate) => drop(load.open(rate, running).ok()?),
            Shape::Closed => load.closed(running),
        }
        let began_for = load.watch(&mut ended, interrupted, on_snapshot).await;
        let load = Arc::into_inner(load)?;
        Some(LoadResult {
            recording: load.recording.into_inner().unwrap_or_else(poisoned),
            began_for,
            was_interrupted: load.stop.into_inner(),
            pool: load.pool,
            work: load.work,
        })
    }

    /// Reports progress until the last request has ended. Returns the time during which requests were started.
    async fn watch(
        &self,
        ended: &mut mpsc::Receiver<()>,
        interrupted: impl Future<Output = ()>,
        on_snapshot: &mut impl FnMut(&Snapshot),
    ) -> Duration {
        let mut interrupted = std::pin::pin!(interrupted);
        let mut ticks =
            tokio::time::interval_at((self.start + SNAPSHOT_INTERVAL).into(), SNAPSHOT_INTERVAL);
        let mut began_for = self.plan.duration;
        loop {
            tokio::select! {
                // Every request holds a sender. The channel closes when all requests have ended.
                _ = ended.recv() => return began_for,
                () = &mut interrupted, if !self.is_stopped() => {
                    self.stop.store(true, Ordering::Relaxed);
                    began_for = began_for.min(self.start.elapsed());
                }
                _ = ticks.tick() => {
                    let figures = self.recording().take_snapshot(SNAPSHOT_INTERVAL);
                    on_snapshot(&Snapshot { since: self.start.elapsed(), figures });
                }
            }
        }
    }

    /// Starts requests from a thread of the system: tokio's timers have a resolution of 1 ms, and its workers may be busy.
    fn open(
        self: &Arc<Self>,
        rate: f64,
        running: mpsc::Sender<()>,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let (load, runtime) = (Arc::clone(self), Handle::current());
        sync::thread("bench-pace", move || {
            let dues = (0_u64..).map(|n| load.start + Duration::from_secs_f64(n as f64 / rate));
            for due in dues.take_while(|due| *due < load.start + load.plan.duration) {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if load.is_stopped() {
                    break;
                }
                let (load, running) = (Arc::clone(&load), running.clone());
                task_on(&runtime, "bench-request", async move {
                    load.request(due).await;
                    drop((load, running));
                });
            }
            drop((load, running));
        })
    }

    fn closed(self: &Arc<Self>, running: mpsc::Sender<()>) {
        let end = self.start + self.plan.duration;
        for _ in 0..self.plan.connections {
            let (load, running) = (Arc::clone(self), running.clone());
            task("bench-connection", async move {
                while Instant::now() < end && !load.is_stopped() {
                    if !load.request(Instant::now()).await {
                        // Limits the rate of requests to a target that rejects all of them at once.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                drop((load, running));
            });
        }
        // The load ends when no task has a sender.
        drop(running);
    }

    /// Runs one request from its intended time until it ends or times out. Returns whether it succeeded.
    async fn request(&self, due: Instant) -> bool {
        let lag = due.elapsed();
        let job = self.work.next_job();
        let (operation, verified) = (job.operation, job.expected.is_some());
        let exchange = self.pool.exchange(job);
        let outcome = tokio::time::timeout_at((due + self.plan.timeout).into(), exchange).await;
        let Exchange { connected, failure } = outcome.unwrap_or_else(|_| Exchange {
            connected: None,
            failure: Some("timeout".to_owned()),
        });
        let sample = Sample {
            operation,
            intended: due.saturating_duration_since(self.start),
            lag,
            latency: due.elapsed(),
            connected,
            verified: verified && failure.is_none(),
            failure,
        };
        self.recording().record(&sample);
        sample.failure.is_none()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(poisoned)
    }
}

#[cfg(test)]
mod tests;
