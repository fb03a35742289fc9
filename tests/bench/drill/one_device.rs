//! One device: at full throughput, with fewer sessions than clients, and hanging.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::Failure;
use crate::closed_loop::{self, count, latencies, statuses};
use crate::connection::Outcome;
use crate::control::{Control, Function};
use crate::faults::{DeviceFailure, recover};
use crate::figures::{at_least, at_most, mean, note, quantile, within};
use crate::open_loop::{Load, Log};
use crate::pulse::{Pulse, Replies};
use crate::target::{Footprint, Proxy, Target, moment};

/// The time of an encryption in the device.
const DEVICE_TIME: Duration = Duration::from_millis(20);

/// The pause of a client after a rejection, as a client does that is throttled. Without it, 64 connections would send requests at the full speed
/// of this machine, and the latencies would be those of the machine.
const REST: Duration = Duration::from_millis(20);

const CONNECTIONS: usize = 64;

/// The load before the failure.
const CALM: Duration = Duration::from_secs(3);

/// The timeout for the device, independent of the target.
const PATIENCE: Duration = Duration::from_secs(40);

/// The time in which threads and sessions must return to their former number.
const SETTLE: Duration = Duration::from_secs(10);

/// The growth of memory that an allocator may cause.
pub const MEMORY_SLACK_MIB: f64 = 8.0;

/// KMS's timeout.
const KMS_PATIENCE_MS: f64 = 250.0;

/// The proxy, the device and the duration.
#[derive(Args)]
struct Stage {
    #[command(flatten)]
    target: Target,
    /// The control file of the device.
    #[arg(long, value_name = "FILE")]
    control: PathBuf,
    /// The duration.
    #[arg(long, default_value = "10")]
    seconds: u64,
}

/// As many sessions as clients.
#[derive(Args)]
pub struct Busy {
    #[command(flatten)]
    stage: Stage,
}

impl Busy {
    /// Measures throughput and `/livez`.
    pub fn run(&self) -> Outcome<()> {
        let (proxy, device) = self.stage.open()?;
        device.set_delay(Function::Encrypt, micros(DEVICE_TIME));
        let (start, length) = (Instant::now(), Duration::from_secs(self.stage.seconds));
        let livez = Pulse::livez(&proxy);
        let answers = closed_loop::run(&proxy, CONNECTIONS, Duration::ZERO, length)?;
        let livez = livez.stop()?;
        let done = count(&answers, 200) as f64 / length.as_secs_f64();
        let ideal = CONNECTIONS as f64 / DEVICE_TIME.as_secs_f64();
        let (inside, outside) = (proxy.mean_device_time()?, mean(latencies(&answers, 200)));
        note(&format!(
            "{done:.0} requests/s of {ideal:.0}; mean {outside:.2} ms, of which {inside:.2} ms in the device"
        ))?;
        let name = |figure: &str| format!("20 ms per call, 64 sessions, 64 connections: {figure}");
        let failed = answers.len() - count(&answers, 200);
        at_least(
            &name("throughput of the ideal"),
            done / ideal * 100.0,
            "%",
            95.0,
        )?;
        at_most(&name("failed requests"), failed as f64, "", 0.0)?;
        report_livez(&name("/livez"), &livez, start)
    }
}

/// One session for all clients.
#[derive(Args)]
pub struct Saturated {
    #[command(flatten)]
    stage: Stage,
}

impl Saturated {
    /// Measures how soon the surplus is rejected.
    pub fn run(&self) -> Outcome<()> {
        let (proxy, device) = self.stage.open()?;
        device.set_delay(Function::Encrypt, micros(DEVICE_TIME));
        let length = Duration::from_secs(self.stage.seconds);
        let answers = closed_loop::run(&proxy, CONNECTIONS, REST, length)?;
        let (done, refused) = (count(&answers, 200), count(&answers, 429));
        let slowest = quantile(latencies(&answers, 200), 1.0);
        note(&format!(
            "{}; the slowest 200 in {slowest:.0} ms",
            statuses(&answers)
        ))?;
        let name = |figure: &str| format!("20 ms per call, 1 session, 64 connections: {figure}");
        let p99 = quantile(latencies(&answers, 429), 0.99);
        let share = done as f64 / length.as_secs_f64() * DEVICE_TIME.as_secs_f64() * 100.0;
        let others = answers.len() - done - refused - count(&answers, 503);
        at_least(&name("rejected with 429"), refused as f64, "", 1.0)?;
        at_most(&name("p99 until the 429"), p99, "ms", 10.0)?;
        at_most(
            &name("timed out (503)"),
            count(&answers, 503) as f64,
            "",
            0.0,
        )?;
        at_most(&name("other failures"), others as f64, "", 0.0)?;
        at_least(&name("throughput of the ideal"), share, "%", 90.0)
    }
}

/// The only device hangs.
#[derive(Args)]
pub struct Alone {
    #[command(flatten)]
    stage: Stage,
    /// Requests per second.
    #[arg(long, default_value = "200")]
    rate: u32,
}

/// The resources of a running proxy for a device.
struct Holdings {
    footprint: Footprint,
    sessions: u64,
}

impl Alone {
    /// Measures responses while the device hangs, and the resources afterwards.
    pub fn run(&self) -> Outcome<()> {
        let (proxy, device) = self.stage.open()?;
        let (livez, health) = (Pulse::livez(&proxy), Pulse::health(&proxy)?);
        let load = Load::start(&proxy, self.rate)?;
        thread::sleep(CALM);
        let before = holdings(&proxy, &device)?;
        let started = Instant::now();
        DeviceFailure::Hangs.inject(&device);
        thread::sleep(Duration::from_secs(self.stage.seconds));
        note(&format!("{} calls hang", device.in_flight()))?;
        recover(&device);
        let recovered = Instant::now();
        let usable = moment(PATIENCE, || proxy.serves("hsm-a"))?;
        thread::sleep(CALM);
        let after = settled(&proxy, &device, &before)?;
        let log = load.stop()?;
        log.explain(started)?;
        report_answers(&log)?;
        let (livez, health) = (livez.stop()?, health.stop()?);
        report_livez("one device hangs: /livez", &livez, started)?;
        let p99 = quantile(health.latencies(started, recovered), 0.99);
        at_most("one device hangs: GetHealthStatus p99", p99, "ms", 20.0)?;
        let unanswered = health.missed() as f64;
        at_most(
            "one device hangs: GetHealthStatus without a response",
            unanswered,
            "",
            0.0,
        )?;
        let last_failure = log.last_failure_after(recovered).unwrap_or(recovered);
        let serving = usable.map(|_| last_failure - recovered);
        within(
            "one device back: every request succeeds after",
            serving,
            10.0,
        )?;
        report_holdings(&before, &after)
    }
}

impl Stage {
    fn open(&self) -> Outcome<(Arc<Proxy>, Control)> {
        let device = Control::open(&self.control)?;
        recover(&device);
        Ok((self.target.open()?, device))
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}

fn report_livez(name: &str, livez: &Replies, from: Instant) -> Outcome<()> {
    let p99 = quantile(livez.latencies(from, Instant::now()), 0.99);
    at_most(&format!("{name} p99"), p99, "ms", 5.0)?;
    at_most(
        &format!("{name} without a response"),
        livez.missed() as f64,
        "",
        0.0,
    )
}

fn report_answers(log: &Log) -> Outcome<()> {
    let unexpected = log.samples.iter().filter(|sample| match &sample.failure {
        Some(Failure::Refused(status, _)) => ![429, 500, 503].contains(status),
        Some(Failure::NoAnswer(_) | Failure::Wrong(_)) => true,
        None => false,
    });
    let slowest = quantile(log.latencies(), 1.0);
    let name = "one device hangs: slowest response";
    at_most(name, slowest, "ms", KMS_PATIENCE_MS)?;
    let name = "one device hangs: responses except 200, 429, 500, 503";
    at_most(name, unexpected.count() as f64, "", 0.0)
}

fn holdings(proxy: &Proxy, device: &Control) -> Outcome<Holdings> {
    Ok(Holdings {
        footprint: proxy.footprint()?,
        sessions: device.open_sessions(),
    })
}

/// Waits until the resources are as before, or until the timeout; returns them.
fn settled(proxy: &Proxy, device: &Control, before: &Holdings) -> Outcome<Holdings> {
    moment(SETTLE, || {
        let now = holdings(proxy, device)?;
        Ok(now.sessions == before.sessions && now.footprint.threads <= before.footprint.threads)
    })?;
    holdings(proxy, device)
}

fn report_holdings(before: &Holdings, after: &Holdings) -> Outcome<()> {
    let (was, is) = (before.footprint, after.footprint);
    note(&format!("before: {was:?}, {} sessions", before.sessions))?;
    note(&format!("after:  {is:?}, {} sessions", after.sessions))?;
    let sessions = after.sessions as f64 - before.sessions as f64;
    at_most(
        "one device back: more or fewer sessions",
        sessions.abs(),
        "",
        0.0,
    )?;
    let threads = is.threads as f64 - was.threads as f64;
    at_most("one device back: more threads", threads, "", 0.0)?;
    let memory = is.resident_mib - was.resident_mib;
    let name = "one device back: more memory";
    at_most(name, memory, "MiB", MEMORY_SLACK_MIB)
}
