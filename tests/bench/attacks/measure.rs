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

/// The timeout of KMS.
const KMS_TIMEOUT: Duration = Duration::from_millis(250);

/// The interval of new connections and of health checks.
const EVERY: Duration = Duration::from_secs(1);

/// `strangers measure`.
#[derive(Args)]
pub struct Measure {
    /// The prefix of the figures' names.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    target: Target,
    /// The duration.
    #[arg(long)]
    seconds: u64,
    /// Requests per second on kept connections.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// The file with the 99th percentile without attack: the first run writes it, the others compare with it.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Print only the number of failures.
    #[arg(long)]
    count: bool,
}

/// The results of an attempt per second.
#[derive(Default)]
struct Tries {
    took: Vec<Duration>,
    failed: usize,
    last_failure: Option<String>,
}

impl Measure {
    /// Measures, and prints the figures.
    pub fn run(self) -> Outcome<()> {
        let proxy = self.target.open()?;
        // Verified requests make this address a known source, as KMS is. Of an unknown source, more than 32 silent connections give way.
        let first = call_on_new_connection(&proxy);
        if let Err(error) = &first {
            note(&format!("the first call failed: {error}"))?;
        }
        let load = Load::start(&proxy, self.rate)?;
        let is_over = AtomicBool::new(false);
        let (connections, checks, most_memory) = thread::scope(|scope| {
            let connections =
                scope.spawn(|| try_each_second(&is_over, || call_on_new_connection(&proxy)));
            let checks = scope.spawn(|| try_each_second(&is_over, || check_health(&proxy)));
            let most_memory = watch_memory(&proxy, Duration::from_secs(self.seconds));
            is_over.store(true, Relaxed);
            (connections.join(), checks.join(), most_memory)
        });
        let died = |_| "a thread panicked";
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
            &format!("{name}: calls with a response after 250 ms"),
            late as f64,
            "",
            0.0,
        )?;
        let checked = checks.failed as f64;
        at_most(
            &format!("{name}: health checks without a response"),
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
                    &format!("{name}: memory above that without attack"),
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

/// Makes a call on a new connection.
fn call_on_new_connection(proxy: &Arc<Proxy>) -> Outcome<()> {
    let mut client = Client::connect(proxy)?;
    let request = proxy.key_request("encrypt", &messages::encrypt(1))?;
    match client.send(&request)?.status {
        200 => Ok(()),
        status => Err(format!("status {status}").into()),
    }
}

/// Checks the health as a load balancer does.
fn check_health(proxy: &Arc<Proxy>) -> Outcome<()> {
    match proxy.admin()?.exchange(&get("/readyz"))?.status {
        200 => Ok(()),
        status => Err(format!("status {status}").into()),
    }
}

/// Returns the largest memory of the proxy, in MiB, during this time.
fn watch_memory(proxy: &Proxy, time: Duration) -> Outcome<f64> {
    let (start, mut most) = (Instant::now(), 0.0);
    while start.elapsed() < time {
        most = f64::max(most, proxy.footprint()?.resident_mib);
        thread::sleep(Duration::from_millis(250));
    }
    Ok(most)
}
