//! Load at a steady rate: three Encrypts, then a Decrypt of something encrypted before, or requests that were signed before.
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
const TURN: Duration = Duration::from_millis(500);

/// Time for all threads to reach their first request.
const RUN_UP: Duration = Duration::from_millis(200);

/// Every so-many-th request is a Decrypt.
const DECRYPT_EVERY: u64 = 4;

/// What is sent how often.
#[derive(Clone)]
pub struct Plan {
    /// Requests per second.
    pub rate: u32,
    /// One connection is due again after so long: with this and the rate there are more or fewer connections.
    pub turn: Duration,
    /// A connection is used for so many requests, then there is a new one.
    pub requests_per_connection: u64,
    /// What the requests are.
    pub work: Work,
}

/// What is asked.
#[derive(Clone)]
pub enum Work {
    /// Encrypts, each with another plaintext and with the integrity value, and Decrypts; every answer is looked into.
    Mixed,
    /// These requests in turn, signed before to spare this program the work. It is enough that they are done.
    Signed(Arc<Vec<Vec<u8>>>),
}

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

impl Plan {
    /// Encrypts and Decrypts at this rate, on connections that stay.
    pub fn mixed(rate: u32) -> Self {
        Self {
            rate,
            turn: TURN,
            requests_per_connection: u64::MAX,
            work: Work::Mixed,
        }
    }

    /// These requests in turn at this rate, on connections that stay.
    pub fn signed(rate: u32, requests: Vec<Vec<u8>>) -> Self {
        Self {
            work: Work::Signed(Arc::new(requests)),
            ..Self::mixed(rate)
        }
    }
}

impl Load {
    /// Starts so many requests per second.
    pub fn start(proxy: &Arc<Proxy>, rate: u32) -> Outcome<Self> {
        Self::follow(proxy, &Plan::mixed(rate))
    }

    /// Starts what is planned.
    pub fn follow(proxy: &Arc<Proxy>, plan: &Plan) -> Outcome<Self> {
        let rate = plan.rate;
        let connections = (f64::from(rate) * plan.turn.as_secs_f64()).ceil() as u32;
        let clients = (0..connections)
            .map(|_| Client::connect(proxy))
            .collect::<Outcome<Vec<_>>>()?;
        let (stop, start) = (Arc::new(AtomicBool::new(false)), Instant::now() + RUN_UP);
        let threads = clients
            .into_iter()
            .zip(0..)
            .map(|(client, first)| {
                let (stop, plan) = (Arc::clone(&stop), plan.clone());
                let schedule = Schedule {
                    start,
                    rate,
                    next: first,
                    step: connections,
                };
                thread::spawn(move || send_all(client, &plan, schedule, &stop))
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

fn send_all(mut client: Client, plan: &Plan, schedule: Schedule, stop: &AtomicBool) -> Log {
    let mut log = Log::default();
    // Not all connections are replaced at the same time.
    let offset = u64::from(schedule.next);
    for ((number, due), turn) in schedule.zip(1..) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Relaxed) {
            break;
        }
        let late = due.elapsed();
        let outcome = match &plan.work {
            Work::Mixed => send_mixed(&mut client, number, turn, &mut log.sealed),
            Work::Signed(requests) => send_signed(&mut client, number, requests),
        };
        log.samples.push(Sample {
            due,
            late,
            latency: due.elapsed(),
            failure: outcome.err(),
        });
        if (turn + offset).is_multiple_of(plan.requests_per_connection) {
            client.hang_up();
        }
    }
    log
}

fn send_mixed(
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

fn send_signed(client: &mut Client, number: u64, requests: &[Vec<u8>]) -> Result<(), Failure> {
    let index = usize::try_from(number).unwrap_or_default() % requests.len().max(1);
    let nothing = || Failure::NoAnswer("nothing to send".into());
    let request = requests.get(index).ok_or_else(nothing)?;
    client.sent(request).map(drop)
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
                "{count} × {failure:?}, from {first:.2} s to {last:.2} s"
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
