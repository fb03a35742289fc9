//! The HSMs reject one key. The rate of its requests must not affect requests for another key.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::{Failure, encrypt_request};
use crate::connection::Outcome;
use crate::control::{Control, FOREVER, Function};
use crate::figures::{at_most, note, quantile};
use crate::open_loop::{Load, Log, Plan};
use crate::target::{Proxy, Target};

/// Requests per second for the good key and for the rejected one.
const GOOD: u32 = 200;
const REJECTED: u32 = 1_000;

/// The number of rounds. Rounds with and without the rejected key alternate, so that changes of the machine affect both.
const ROUNDS: usize = 3;

/// The allowed ratio of the good key's p99 with and without the rejected key.
const NOTICED: f64 = 1.2;

/// The interval of requests on one connection: KMS's timeout, so no response takes longer.
const TURN: Duration = Duration::from_millis(250);

/// The return code of HSMs whose control files are given.
const CKR_DEVICE_ERROR: u64 = 0x30;

/// The proxy, the keys and the duration.
#[derive(Args)]
pub struct Rejected {
    #[command(flatten)]
    target: Target,
    /// The id and label of the key that the HSMs reject.
    #[arg(long)]
    key: String,
    /// The prefix of the figures' names.
    #[arg(long)]
    name: String,
    /// The control file of an HSM that must reject the key; once per HSM.
    #[arg(long, value_name = "FILE")]
    control: Vec<PathBuf>,
    /// The duration of each round.
    #[arg(long, default_value = "10")]
    seconds: u64,
}

/// The results of the requests, in rounds without the rejected key and with it.
#[derive(Default)]
struct Rounds {
    alone: Vec<Log>,
    beside: Vec<Log>,
    rejected: Vec<Log>,
}

impl Rejected {
    /// The order is without, with, with, without, and so on: slow changes of the machine affect both in the same way.
    pub fn run(&self) -> Outcome<()> {
        for file in &self.control {
            let device = Control::open(file)?;
            device.fail_only_key(&self.key);
            device.fail_next(Function::Encrypt, CKR_DEVICE_ERROR, FOREVER);
        }
        let good = self.target.open()?;
        let rejected = self.target.open_key(&self.key)?;
        let closings = closings(&good)?;
        let rounds = self.play(&good, &rejected)?;
        self.report(&rounds)?;
        let name = |figure: &str| format!("{}: {figure}", self.name);
        let closed = self::closings(&good)? - closings;
        at_most(&name("closings of an HSM"), closed, "", 0.0)
    }

    fn play(&self, good: &Arc<Proxy>, rejected: &Arc<Proxy>) -> Outcome<Rounds> {
        let plan = |proxy: &Arc<Proxy>, rate| {
            Outcome::Ok(Plan {
                turn: TURN,
                ..Plan::signed(rate, vec![encrypt_request(proxy)?])
            })
        };
        let mut rounds = Rounds::default();
        for number in 0..ROUNDS {
            // Signatures are valid for five minutes.
            let plans = (plan(good, GOOD)?, plan(rejected, REJECTED)?);
            for beside in [!number.is_multiple_of(2), number.is_multiple_of(2)] {
                let load = match beside {
                    true => Some(Load::follow(rejected, &plans.1)?),
                    false => None,
                };
                let (start, log) = (Instant::now(), self.ask(good, &plans.0)?);
                if log.failed() > 0 {
                    log.explain(start)?;
                }
                match load {
                    Some(load) => {
                        rounds.rejected.push(load.stop()?);
                        rounds.beside.push(log);
                    }
                    None => rounds.alone.push(log),
                }
            }
        }
        Ok(rounds)
    }

    fn ask(&self, good: &Arc<Proxy>, plan: &Plan) -> Outcome<Log> {
        let load = Load::follow(good, plan)?;
        thread::sleep(Duration::from_secs(self.seconds));
        load.stop()
    }

    fn report(&self, rounds: &Rounds) -> Outcome<()> {
        let name = |figure: &str| format!("{}: {figure}", self.name);
        let (alone, beside) = (p99s(&rounds.alone), p99s(&rounds.beside));
        note(&format!(
            "p99 alone {alone:.2?} ms, with the rejected key {beside:.2?} ms"
        ))?;
        let rejected: usize = rounds.rejected.iter().map(|log| log.samples.len()).sum();
        let odd: usize = rounds.rejected.iter().map(not_rejected).sum();
        note(&format!("{rejected} requests for the rejected key"))?;
        at_most(&name("rejected key, other responses"), odd as f64, "", 0.0)?;
        let logs = rounds.alone.iter().chain(&rounds.beside);
        let failed: usize = logs.map(Log::failed).sum();
        at_most(&name("good key, failed requests"), failed as f64, "", 0.0)?;
        let ratio = median(beside) / median(alone).max(f64::EPSILON);
        at_most(&name("good key, p99 with ÷ alone"), ratio, "", NOTICED)
    }
}

/// Returns how many requests did not return the error of a rejected key, which is final or retryable by the HSM's return code.
fn not_rejected(log: &Log) -> usize {
    let is_rejection = |failure: &Failure| match failure {
        Failure::Wrong(error) => error == "400 InvalidKeyUsageException",
        Failure::Refused(status, _) => *status == 500,
        Failure::NoAnswer(_) => false,
    };
    let failures = log.samples.iter().map(|sample| &sample.failure);
    failures
        .filter(|failure| !failure.as_ref().is_some_and(is_rejection))
        .count()
}

fn closings(proxy: &Proxy) -> Outcome<f64> {
    let transitions =
        |to: &str| proxy.metric("xks_hsm_transitions_total", &[&format!("to=\"{to}\"")]);
    Ok(transitions("probing")? + transitions("failed")?)
}

fn p99s(logs: &[Log]) -> Vec<f64> {
    let p99 = |log: &Log| quantile(log.latencies(), 0.99);
    logs.iter().map(p99).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
