//! The HSMs reject one key. Requests for another key must not notice how often the rejected one is asked for.

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

/// Alone and beside the other are measured in turn, this often each: what the machine does meanwhile befalls both.
const ROUNDS: usize = 3;

/// How much longer the good key's p99 may be beside the rejected key.
const NOTICED: f64 = 1.2;

/// One connection is due again after so long. KMS's patience: no answer takes longer.
const TURN: Duration = Duration::from_millis(250);

/// What HSMs return whose control files are given.
const CKR_DEVICE_ERROR: u64 = 0x30;

/// Which proxy, which keys, how long.
#[derive(Args)]
pub struct Rejected {
    #[command(flatten)]
    target: Target,
    /// The id and label of the key that the HSMs reject.
    #[arg(long)]
    key: String,
    /// How the figures are called.
    #[arg(long)]
    name: String,
    /// The control file of an HSM that must be made to reject the key; once per HSM.
    #[arg(long, value_name = "FILE")]
    control: Vec<PathBuf>,
    /// How long each round lasts.
    #[arg(long, default_value = "10")]
    seconds: u64,
}

/// What became of the requests, in rounds without the rejected key and beside it.
#[derive(Default)]
struct Rounds {
    alone: Vec<Log>,
    beside: Vec<Log>,
    rejected: Vec<Log>,
}

impl Rejected {
    /// Alone, beside, beside, alone, and so on: what changes slowly befalls both alike.
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
            // Signatures are good for five minutes.
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
            "p99 alone {alone:.2?} ms, beside the rejected key {beside:.2?} ms"
        ))?;
        let rejected: usize = rounds.rejected.iter().map(|log| log.samples.len()).sum();
        let odd: usize = rounds.rejected.iter().map(not_rejected).sum();
        note(&format!("{rejected} requests for the rejected key"))?;
        at_most(&name("rejected key, other answers"), odd as f64, "", 0.0)?;
        let logs = rounds.alone.iter().chain(&rounds.beside);
        let failed: usize = logs.map(Log::failed).sum();
        at_most(&name("good key, failed requests"), failed as f64, "", 0.0)?;
        let ratio = median(beside) / median(alone).max(f64::EPSILON);
        at_most(&name("good key, p99 beside ÷ alone"), ratio, "", NOTICED)
    }
}

/// How many requests were not answered with the error of a rejected key: final or retryable, by the HSM's return code.
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
    let of = |to: &str| proxy.metric("xks_hsm_transitions_total", &[&format!("to=\"{to}\"")]);
    Ok(of("probing")? + of("failed")?)
}

fn p99s(logs: &[Log]) -> Vec<f64> {
    let p99 = |log: &Log| quantile(log.latencies(), 0.99);
    logs.iter().map(p99).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
