//! Load at a steady rate: three Encrypts, then a Decrypt of something encrypted before.
//!
//! Each request has a moment at which it is due, whatever became of those before it, and its time counts from that moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Client, Failure};
use crate::connection::Outcome;
use crate::figures::{note, quantile};
use crate::messages::Sealed;
use crate::target::Proxy;

/// One connection is due again after so long: more than any answer may take, so that none waits for its turn.
const TURN: f64 = 0.5;

/// Time for all threads to reach their first request.
const RUN_UP: Duration = Duration::from_millis(200);

/// Every so-many-th request is a Decrypt.
const DECRYPT_EVERY: u64 = 4;

/// Load that runs until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Log>>,
}

/// What became of the requests.
#[derive(Default)]
pub struct Log {
    /// Every request.
    pub samples: Vec<Sample>,
    /// What was encrypted.
    pub sealed: Vec<Sealed>,
}

/// What became of one request.
pub struct Sample {
    /// When it was to be sent.
    pub due: Instant,
    /// How long after that it was sent: what this program, or the machine, owes.
    pub late: Duration,
    /// How long after that moment, not after the sending, the answer was there.
    pub latency: Duration,
    /// What was wrong with the answer.
    pub failure: Option<Failure>,
}

impl Load {
    /// Starts so many requests per second.
    pub fn start(proxy: &Arc<Proxy>, rate: u32) -> Outcome<Self> {
        let connections = (f64::from(rate) * TURN).ceil() as u32;
        let clients = (0..connections)
            .map(|_| Client::connect(proxy))
            .collect::<Outcome<Vec<_>>>()?;
        let (stop, start) = (Arc::new(AtomicBool::new(false)), Instant::now() + RUN_UP);
        let threads = clients
            .into_iter()
            .zip(0..)
            .map(|(client, first)| {
                let stop = Arc::clone(&stop);
                let schedule = Schedule {
                    start,
                    rate,
                    next: first,
                    step: connections,
                };
                thread::spawn(move || send_all(client, schedule, &stop))
            })
            .collect();
        Ok(Self { stop, threads })
    }

    /// Waits for the last answers.
    pub fn stop(self) -> Outcome<Log> {
        self.stop.store(true, Relaxed);
        let mut log = Log::default();
        for thread in self.threads {
            let other = thread.join().map_err(|_| "a sending thread died")?;
            log.samples.extend(other.samples);
            log.sealed.extend(other.sealed);
        }
        log.samples.sort_by_key(|sample| sample.due);
        Ok(log)
    }
}

/// The numbers of one connection's requests and the moments at which they are due.
struct Schedule {
    start: Instant,
    rate: u32,
    next: u32,
    step: u32,
}

impl Iterator for Schedule {
    type Item = (u64, Instant);

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next;
        self.next = number.checked_add(self.step)?;
        let offset = Duration::from_secs_f64(f64::from(number) / f64::from(self.rate));
        Some((number.into(), self.start + offset))
    }
}

fn send_all(mut client: Client, schedule: Schedule, stop: &AtomicBool) -> Log {
    let mut log = Log::default();
    for ((number, due), turn) in schedule.zip(1..) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Relaxed) {
            break;
        }
        let late = due.elapsed();
        let outcome = send_one(&mut client, number, turn, &mut log.sealed);
        log.samples.push(Sample {
            due,
            late,
            latency: due.elapsed(),
            failure: outcome.err(),
        });
    }
    log
}

fn send_one(
    client: &mut Client,
    number: u64,
    turn: u64,
    sealed: &mut Vec<Sealed>,
) -> Result<(), Failure> {
    match sealed.last() {
        Some(last) if turn.is_multiple_of(DECRYPT_EVERY) => client.decrypt(last),
        _ => {
            sealed.push(client.encrypt(number)?);
            Ok(())
        }
    }
}

impl Log {
    /// How many requests were not done.
    pub fn failed(&self) -> usize {
        self.failures().count()
    }

    /// How many answers were not true.
    pub fn wrong(&self) -> usize {
        let wrong = |failure: &&Failure| matches!(failure, Failure::Wrong(_));
        self.failures().filter(wrong).count()
    }

    /// Every latency.
    pub fn latencies(&self) -> impl Iterator<Item = Duration> {
        self.samples.iter().map(|sample| sample.latency)
    }

    /// When the last failed request that was due after `moment` was answered.
    pub fn last_failure_after(&self, moment: Instant) -> Option<Instant> {
        let failed = |sample: &&Sample| sample.due >= moment && sample.failure.is_some();
        let last = self.samples.iter().rfind(failed)?;
        Some(last.due + last.latency)
    }

    /// Which failures there were, how many of each, and when, counted from `moment`; and how late this program was.
    pub fn explain(&self, moment: Instant) -> Outcome<()> {
        let late = quantile(self.samples.iter().map(|sample| sample.late), 0.999);
        let requests = self.samples.len();
        note(&format!(
            "{requests} requests, p99.9 sent {late:.1} ms late"
        ))?;
        let mut kinds: BTreeMap<&Failure, Vec<f64>> = BTreeMap::new();
        for sample in &self.samples {
            let at = sample.due.saturating_duration_since(moment).as_secs_f64();
            if let Some(failure) = &sample.failure {
                kinds.entry(failure).or_default().push(at);
            }
        }
        for (failure, times) in kinds {
            let (first, last) = (times.first(), times.last());
            let (first, last) = (first.unwrap_or(&0.0), last.unwrap_or(&0.0));
            let count = times.len();
            note(&format!(
                "{count} × {failure:?}, {first:.2} s to {last:.2} s after the fault"
            ))?;
        }
        Ok(())
    }

    fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.samples
            .iter()
            .filter_map(|sample| sample.failure.as_ref())
    }
}
