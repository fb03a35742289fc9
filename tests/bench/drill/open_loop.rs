//! Load at a steady rate: three Encrypts, then a Decrypt of an earlier ciphertext; or requests that are already signed.
//!
//! Each request has an intended time, independent of earlier requests, and its latency counts from that time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Client, Failure};
use crate::connection::Outcome;
use crate::figures::{note, quantile};
use crate::messages::Ciphertext;
use crate::target::Proxy;

/// The interval of requests on one connection: longer than any response, so that no request waits for another.
const TURN: Duration = Duration::from_millis(500);

/// The time for all threads to reach their first request.
const RUN_UP: Duration = Duration::from_millis(200);

/// One of this many requests is a Decrypt.
const DECRYPT_EVERY: u64 = 4;

/// The requests and their rate.
#[derive(Clone)]
pub struct Plan {
    /// Requests per second.
    pub rate: u32,
    /// The interval of requests on one connection: with the rate, it determines the number of connections.
    pub turn: Duration,
    /// The number of requests after which a connection is replaced.
    pub requests_per_connection: u64,
    /// The type of the requests.
    pub work: Work,
}

/// The type of the requests.
#[derive(Clone)]
pub enum Work {
    /// Encrypts with different plaintexts and the integrity value, and Decrypts. Every response is checked.
    Mixed,
    /// These signed requests alternately, to save CPU of this program. Only success is checked.
    Signed(Arc<Vec<Vec<u8>>>),
}

/// Load that runs until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Log>>,
}

/// The results of the requests.
#[derive(Default)]
pub struct Log {
    /// Every request.
    pub samples: Vec<Sample>,
    /// The ciphertexts.
    pub ciphertexts: Vec<Ciphertext>,
}

/// The result of a request.
pub struct Sample {
    /// The intended time.
    pub due: Instant,
    /// The delay from the intended time until the request was sent, because of this program or the machine.
    pub late: Duration,
    /// The latency from the intended time, not from the sending.
    pub latency: Duration,
    /// The failure, if any.
    pub failure: Option<Failure>,
}

impl Plan {
    /// Returns a plan of Encrypts and Decrypts at this rate, on kept connections.
    pub fn mixed(rate: u32) -> Self {
        Self {
            rate,
            turn: TURN,
            requests_per_connection: u64::MAX,
            work: Work::Mixed,
        }
    }

    /// Returns a plan of these requests at this rate, on kept connections.
    pub fn signed(rate: u32, requests: Vec<Vec<u8>>) -> Self {
        Self {
            work: Work::Signed(Arc::new(requests)),
            ..Self::mixed(rate)
        }
    }
}

impl Load {
    /// Starts a mixed load of this rate.
    pub fn start(proxy: &Arc<Proxy>, rate: u32) -> Outcome<Self> {
        Self::follow(proxy, &Plan::mixed(rate))
    }

    /// Starts the load of a plan.
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

    /// Waits for the last responses.
    pub fn stop(self) -> Outcome<Log> {
        self.stop.store(true, Relaxed);
        let mut log = Log::default();
        for thread in self.threads {
            let other = thread.join().map_err(|_| "a sending thread panicked")?;
            log.samples.extend(other.samples);
            log.ciphertexts.extend(other.ciphertexts);
        }
        log.samples.sort_by_key(|sample| sample.due);
        Ok(log)
    }
}

/// The numbers of one connection's requests with their intended times.
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
    // Spreads the replacements of connections over time.
    let offset = u64::from(schedule.next);
    for ((number, due), turn) in schedule.zip(1..) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Relaxed) {
            break;
        }
        let late = due.elapsed();
        let outcome = match &plan.work {
            Work::Mixed => send_mixed(&mut client, number, turn, &mut log.ciphertexts),
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
    ciphertexts: &mut Vec<Ciphertext>,
) -> Result<(), Failure> {
    match ciphertexts.last() {
        Some(last) if turn.is_multiple_of(DECRYPT_EVERY) => client.decrypt(last),
        _ => {
            ciphertexts.push(client.encrypt(number)?);
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
    /// Returns how many requests failed.
    pub fn failed(&self) -> usize {
        self.failures().count()
    }

    /// Returns how many responses were false.
    pub fn wrong(&self) -> usize {
        let wrong = |failure: &&Failure| matches!(failure, Failure::Wrong(_));
        self.failures().filter(wrong).count()
    }

    /// Returns every latency.
    pub fn latencies(&self) -> impl Iterator<Item = Duration> {
        self.samples.iter().map(|sample| sample.latency)
    }

    /// Returns the time of the last failed response whose request was due after `moment`.
    pub fn last_failure_after(&self, moment: Instant) -> Option<Instant> {
        let failed = |sample: &&Sample| sample.due >= moment && sample.failure.is_some();
        let last = self.samples.iter().rfind(failed)?;
        Some(last.due + last.latency)
    }

    /// Prints the failures with their number and times, counted from `moment`, and the delay of this program.
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
