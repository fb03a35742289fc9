//! Legitimate traffic: a steady rate of requests on kept connections, one new connection per second, one health check per second.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::Client;
use crate::connection::Outcome;
use crate::figures::{at_most, note, quantile};
use crate::messages;
use crate::open_loop::Load;
use crate::target::{Proxy, Target, get};

/// KMS gives up after this.
const KMS_TIMEOUT: Duration = Duration::from_millis(250);

/// How often something new is tried.
const EVERY: Duration = Duration::from_secs(1);

/// `strangers measure`.
#[derive(Args)]
pub struct Measure {
    /// What the figures are called.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    target: Target,
    /// How long.
    #[arg(long)]
    seconds: u64,
    /// Requests per second on kept connections.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// The 99th percentile without attack: written by the first run, compared with by the others.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Print the number of failures and nothing else.
    #[arg(long)]
    count: bool,
}

/// What is tried once per second, and what became of it.
#[derive(Default)]
struct Tries {
    took: Vec<Duration>,
    failed: usize,
    last_failure: Option<String>,
}

impl Measure {
    /// Measures, and prints figures.
    pub fn run(self) -> Outcome<()> {
        let proxy = self.target.open()?;
        // A source of verified requests, as KMS is: of any other one, more than 32 silent connections at once give way.
        let first = call_anew(&proxy);
        if let Err(error) = &first {
            note(&format!("the first call failed: {error}"))?;
        }
        let load = Load::start(&proxy, self.rate)?;
        let is_over = AtomicBool::new(false);
        let (connections, checks, most_memory) = thread::scope(|scope| {
            let connections = scope.spawn(|| try_each_second(&is_over, || call_anew(&proxy)));
            let checks = scope.spawn(|| try_each_second(&is_over, || check_health(&proxy)));
            let most_memory = watch_memory(&proxy, Duration::from_secs(self.seconds));
            is_over.store(true, Relaxed);
            (connections.join(), checks.join(), most_memory)
        });
        let died = |_| "a thread died";
        let (connections, checks) = (connections.map_err(died)?, checks.map_err(died)?);
        let log = load.stop()?;
        let start = log
            .samples
            .first()
            .map_or_else(Instant::now, |first| first.due);
        log.explain(start)?;
        let failed = log.failed() + connections.failed + usize::from(first.is_err());
        let p99 = quantile(log.latencies(), 0.99);
        let is_late = |took: &&Duration| **took > KMS_TIMEOUT;
        let (all, took): (Vec<_>, _) = (log.latencies().collect(), &connections.took);
        let late = all.iter().filter(is_late).count() + took.iter().filter(is_late).count();
        if self.count {
            return Ok(writeln!(io::stdout(), "{}", failed + late)?);
        }
        self.print(failed, late, p99, &connections, &checks, most_memory?)
    }

    fn print(
        &self,
        failed: usize,
        late: usize,
        p99: f64,
        connections: &Tries,
        checks: &Tries,
        memory: f64,
    ) -> Outcome<()> {
        let name = &self.name;
        for tries in [connections, checks] {
            if let Some(failure) = &tries.last_failure {
                note(&format!("last failure of {}: {failure}", tries.failed))?;
            }
        }
        at_most(&format!("{name}: failed calls"), failed as f64, "", 0.0)?;
        at_most(
            &format!("{name}: calls answered after 250 ms"),
            late as f64,
            "",
            0.0,
        )?;
        let checked = checks.failed as f64;
        at_most(
            &format!("{name}: health checks not answered"),
            checked,
            "",
            0.0,
        )?;
        let connected = quantile(connections.took.iter().copied(), 0.99);
        note(&format!(
            "p99 {p99:.2} ms; new connection and call, p99 {connected:.2} ms"
        ))?;
        match fs::read_to_string(&self.baseline) {
            Ok(text) => {
                let mut parts = text.split(' ').map(str::parse::<f64>);
                let (before, memory_before) = (parts.next(), parts.next());
                let before = before.ok_or("no baseline")??;
                let memory_before = memory_before.ok_or("no baseline")??;
                at_most(
                    &format!("{name}: p99 / p99 without attack"),
                    p99 / before,
                    "",
                    3.0,
                )?;
                let grown = memory - memory_before;
                at_most(
                    &format!("{name}: memory more than without attack"),
                    grown,
                    "MiB",
                    128.0,
                )
            }
            Err(_) => Ok(fs::write(&self.baseline, format!("{p99} {memory}"))?),
        }
    }
}

fn try_each_second(is_over: &AtomicBool, attempt: impl Fn() -> Outcome<()>) -> Tries {
    let mut tries = Tries::default();
    while !is_over.load(Relaxed) {
        let start = Instant::now();
        match attempt() {
            Ok(()) => tries.took.push(start.elapsed()),
            Err(failure) => {
                tries.failed += 1;
                tries.last_failure = Some(failure.to_string());
            }
        }
        thread::sleep(EVERY.saturating_sub(start.elapsed()));
    }
    tries
}

/// A call on a connection of its own.
fn call_anew(proxy: &Arc<Proxy>) -> Outcome<()> {
    let mut client = Client::connect(proxy)?;
    let request = proxy.key_request("encrypt", &messages::encrypt(1))?;
    match client.send(&request)?.status {
        200 => Ok(()),
        status => Err(format!("status {status}").into()),
    }
}

/// As a load balancer does it.
fn check_health(proxy: &Arc<Proxy>) -> Outcome<()> {
    match proxy.admin()?.exchange(&get("/readyz"))?.status {
        200 => Ok(()),
        status => Err(format!("status {status}").into()),
    }
}

/// The most memory, in MiB, that the proxy occupies in this time.
fn watch_memory(proxy: &Proxy, time: Duration) -> Outcome<f64> {
    let (start, mut most) = (Instant::now(), 0.0);
    while start.elapsed() < time {
        most = f64::max(most, proxy.footprint()?.resident_mib);
        thread::sleep(Duration::from_millis(250));
    }
    Ok(most)
}
