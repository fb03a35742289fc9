//! Two key stores on one HSM: the effect of one on the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::access_log;
use crate::client::{Failure, encrypt_request};
use crate::connection::Outcome;
use crate::control::{Control, Function};
use crate::document::Store;
use crate::figures::{at_least, at_most, note, quantile};
use crate::open_loop::{Load, Log, Plan, Sample};
use crate::running::Running;
use crate::scene::Scene;
use crate::target::Proxy;

/// The number of rounds. Rounds alone and with the other store alternate, so that changes of the machine affect both.
const ROUNDS: usize = 3;

/// The rate of the quiet store, and the quota of the loud one, which sends twenty times as much.
const QUIET: u32 = 200;
const QUOTA: u32 = 50;
const ABOVE: u32 = 20;

/// The allowed ratio of the quiet store's latency.
const NOTICED: f64 = 1.2;

/// The longest time that the proxy may work on a request above the quota, in ms.
const REJECTION_MS: f64 = 1.0;

/// A slow device: 400 requests per second.
const DEVICE_TIME_US: u64 = 5_000;
const SESSIONS: u32 = 2;

/// Five times the device's capacity, and an eighth of it.
const FLOOD: u32 = 2_000;
const MODEST: u32 = 50;

/// The p99 of the modest store during a flood: it waits for the requests in the sessions and for one request of the other store. This is three
/// times the device's time, and as much again for the machine.
const MODEST_P99_MS: f64 = 30.0;

/// The share of the flood that may be accepted and then not completed: the proxy can only estimate the device's time.
const IN_VAIN_PERCENT: f64 = 1.0;

/// The interval of requests on one connection: KMS's timeout, so no response takes longer.
const TURN: Duration = Duration::from_millis(250);

/// The time in which waiting requests complete after a flood.
const CALM: Duration = Duration::from_millis(300);

/// One store far above its quota.
#[derive(Args)]
pub struct Quota {
    #[command(flatten)]
    scene: Scene,
}

/// One store that floods a slow device.
#[derive(Args)]
pub struct Flood {
    #[command(flatten)]
    scene: Scene,
    /// The control file of the device.
    #[arg(long, value_name = "FILE")]
    control: PathBuf,
}

/// Two stores: a loud one and a quiet one.
struct Tenants {
    running: Running,
    loud: (Arc<Proxy>, Plan),
    quiet: (Arc<Proxy>, Plan),
    phase: Duration,
}

/// The results of the quiet store's requests, in the rounds alone and in those with the other store.
#[derive(Default)]
struct Rounds {
    alone: Vec<Log>,
    beside: Vec<Log>,
    loud: Vec<Log>,
}

impl Quota {
    /// Measures the quiet store alone and with the loud one alternately.
    pub fn run(&self) -> Outcome<()> {
        let tenants = Tenants::prepare(&self.scene, "quota", Some(QUOTA), (ABOVE * QUOTA, QUIET))?;
        let rounds = tenants.play(ROUNDS)?;
        let (alone, beside) = (rounds.p99_alone(), rounds.p99_beside());
        note(&format!(
            "p99 alone {alone:.2?} ms, with the other {beside:.2?} ms"
        ))?;
        let name = |figure: &str| format!("one tenant at 20 × its quota: {figure}");
        let (alone, beside) = (median(alone), median(beside));
        let figure = name("the other's p99 with it ÷ alone");
        at_most(&figure, beside / alone.max(f64::EPSILON), "", NOTICED)?;
        let figure = name("the other's failed requests");
        at_most(&figure, rounds.failed() as f64, "", 0.0)?;
        let rejections = access_log::durations(tenants.running.log(), "loud", 429)?;
        note(&format!("{} of its requests rejected", rejections.len()))?;
        at_least(&name("rejected"), rejections.len() as f64, "", 1.0)?;
        let own = quantile(rejections, 0.99);
        at_most(&name("p99 of a rejection inside"), own, "ms", REJECTION_MS)?;
        let done = rounds.loud_per_second();
        let allowed = f64::from(QUOTA) * (1.0 + 1.0 / tenants.phase.as_secs_f64()) * 1.05;
        let figure = name("its completed requests per second");
        at_most(&figure, done, "", allowed.ceil())
    }
}

impl Flood {
    /// Measures the quiet store alone and during the flood alternately.
    pub fn run(&self) -> Outcome<()> {
        let device = Control::open(&self.control)?;
        device.set_delay(Function::Encrypt, DEVICE_TIME_US);
        let tenants = Tenants::prepare(&self.scene, "fair", None, (FLOOD, MODEST))?;
        let rounds = tenants.play(2)?;
        let (alone, beside) = (rounds.p99_alone(), rounds.p99_beside());
        note(&format!(
            "p99 alone {alone:.2?} ms, during the flood {beside:.2?} ms"
        ))?;
        let ideal = f64::from(SESSIONS) * 1e6 / DEVICE_TIME_US as f64;
        let flood = rounds.loud_per_second();
        note(&format!(
            "the flood got {flood:.0} of {ideal:.0} requests/s"
        ))?;
        let name = |figure: &str| format!("one tenant floods a slow device: {figure}");
        let figure = name("the other's failed requests");
        at_most(&figure, rounds.failed() as f64, "", 0.0)?;
        let figure = name("the other's p99");
        at_most(&figure, median(beside), "ms", MODEST_P99_MS)?;
        let figure = name("its requests neither completed nor rejected at once");
        at_most(&figure, rounds.loud_in_vain(), "%", IN_VAIN_PERCENT)?;
        let busy = (flood + f64::from(MODEST)) / ideal * 100.0;
        at_least(&name("throughput of the ideal"), busy, "%", 90.0)
    }
}

impl Tenants {
    fn prepare(
        scene: &Scene,
        name: &str,
        quota: Option<u32>,
        (loud, quiet): (u32, u32),
    ) -> Outcome<Self> {
        let mut document = scene.document(name);
        document.sessions = match quota {
            Some(_) => 1,
            None => SESSIONS,
        };
        let mut one = Store::with_one_key("loud", &scene.signer(0)?, "orders");
        one.quota = quota;
        let other = Store::with_one_key("quiet", &scene.signer(1)?, "payments");
        let callers = (one.caller("orders")?, other.caller("payments")?);
        document.stores = vec![one, other];
        let running = Running::start(&document)?;
        let tenant = |caller, rate| {
            let proxy = running.seen_by(caller)?;
            let plan = Plan {
                turn: TURN,
                ..Plan::signed(rate, vec![encrypt_request(&proxy)?])
            };
            Outcome::Ok((proxy, plan))
        };
        Ok(Self {
            loud: tenant(callers.0, loud)?,
            quiet: tenant(callers.1, quiet)?,
            running,
            phase: Duration::from_secs(scene.seconds),
        })
    }

    /// The order is alone, with, with, alone, and so on: slow changes of the machine affect both in the same way.
    fn play(&self, count: usize) -> Outcome<Rounds> {
        let mut rounds = Rounds::default();
        for number in 0..count {
            for beside in [!number.is_multiple_of(2), number.is_multiple_of(2)] {
                match beside {
                    true => {
                        let loud = Load::follow(&self.loud.0, &self.loud.1)?;
                        rounds.beside.push(self.ask_quietly()?);
                        rounds.loud.push(loud.stop()?);
                    }
                    false => rounds.alone.push(self.ask_quietly()?),
                }
                thread::sleep(CALM);
            }
        }
        Ok(rounds)
    }

    fn ask_quietly(&self) -> Outcome<Log> {
        let (start, load) = (Instant::now(), Load::follow(&self.quiet.0, &self.quiet.1)?);
        thread::sleep(self.phase);
        let log = load.stop()?;
        if log.failed() > 0 {
            log.explain(start)?;
        }
        Ok(log)
    }
}

impl Rounds {
    fn p99_alone(&self) -> Vec<f64> {
        p99s(&self.alone)
    }

    fn p99_beside(&self) -> Vec<f64> {
        p99s(&self.beside)
    }

    fn failed(&self) -> usize {
        let quiet = self.alone.iter().chain(&self.beside);
        quiet.map(Log::failed).sum()
    }

    /// Returns the completed requests per second of the loud store.
    fn loud_per_second(&self) -> f64 {
        let done: usize = self.loud.iter().map(done).sum();
        done as f64 / self.loud.iter().map(length).sum::<f64>()
    }

    /// Returns the percentage of the loud store's requests that were neither completed nor rejected at once.
    fn loud_in_vain(&self) -> f64 {
        let is_vain = |sample: &&Sample| match sample.failure {
            None | Some(Failure::Refused(429, _)) => false,
            Some(_) => true,
        };
        let samples = || self.loud.iter().flat_map(|log| &log.samples);
        samples().filter(is_vain).count() as f64 / samples().count().max(1) as f64 * 100.0
    }
}

/// Returns the number of requests that completed before the last one was sent.
fn done(log: &Log) -> usize {
    let Some(last) = log.samples.last() else {
        return 0;
    };
    let is_done =
        |sample: &&Sample| sample.failure.is_none() && sample.due + sample.latency <= last.due;
    log.samples.iter().filter(is_done).count()
}

/// Returns the seconds from the first request to the last; never zero.
fn length(log: &Log) -> f64 {
    let ends = (log.samples.first(), log.samples.last());
    let length = match ends {
        (Some(first), Some(last)) => last.due - first.due,
        _ => Duration::ZERO,
    };
    length.as_secs_f64().max(f64::EPSILON)
}

fn p99s(logs: &[Log]) -> Vec<f64> {
    let p99 = |log: &Log| quantile(log.latencies(), 0.99);
    logs.iter().map(p99).collect()
}

/// Returns the median; 0 without values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
