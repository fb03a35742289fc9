//! Random failures of two devices for any duration: every ciphertext must stay readable, and no resource may grow.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::unreadable;
use crate::connection::Outcome;
use crate::control::Control;
use crate::faults::{DeviceFailure, ShortFailure, recover};
use crate::figures::{at_least, at_most, note, quantile};
use crate::one_device::MEMORY_SLACK_MIB;
use crate::open_loop::{Load, Log};
use crate::target::{Footprint, Proxy, Target, moment};
use crate::two_devices::both_serve;

/// The time of failures before the first measurement of memory: allocators keep some memory once.
const WARM_UP: Duration = Duration::from_secs(30);

/// The timeout for both devices after the last failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time in which connections and threads end afterwards.
const SETTLE: Duration = Duration::from_secs(3);

/// The proxy, the devices and the duration.
#[derive(Args)]
pub struct Soak {
    #[command(flatten)]
    target: Target,
    /// The control file of hsm-a.
    #[arg(long, value_name = "FILE")]
    control_a: PathBuf,
    /// The control file of hsm-b.
    #[arg(long, value_name = "FILE")]
    control_b: PathBuf,
    /// Requests per second.
    #[arg(long, default_value = "300")]
    rate: u32,
    /// The duration.
    #[arg(long)]
    minutes: u64,
    /// The seed of the failures: the same seed repeats them.
    #[arg(long, default_value = "1")]
    seed: u64,
}

impl Soak {
    /// Warms up, measures, soaks, and measures again.
    pub fn run(&self) -> Outcome<()> {
        let proxy = self.target.open()?;
        let devices = [
            Control::open(&self.control_a)?,
            Control::open(&self.control_b)?,
        ];
        let mut chance = Chance(self.seed);
        self.storm(&proxy, &devices, &mut chance, WARM_UP)?;
        let before = at_rest(&proxy, &devices)?;
        let length = Duration::from_secs(self.minutes * 60);
        let log = self.storm(&proxy, &devices, &mut chance, length)?;
        let after = at_rest(&proxy, &devices)?;
        report(&proxy, &log, before, after)
    }

    /// Runs load, and one failure after the other.
    fn storm(
        &self,
        proxy: &Arc<Proxy>,
        devices: &[Control; 2],
        chance: &mut Chance,
        length: Duration,
    ) -> Outcome<Log> {
        devices.iter().for_each(recover);
        let (start, load) = (Instant::now(), Load::start(proxy, self.rate)?);
        while start.elapsed() < length {
            chance.pause();
            let Some(device) = chance.one_of(devices) else {
                continue;
            };
            match chance.below(3) {
                0 => inject_short_failure(device, chance),
                _ => inject_failure(device, chance),
            }
        }
        devices.iter().for_each(recover);
        let log = load.stop()?;
        log.explain(start)?;
        Ok(log)
    }
}

fn inject_short_failure(device: &Control, chance: &mut Chance) {
    if let Some(mishap) = chance.one_of(&ShortFailure::ALL) {
        mishap.inject(device);
    }
}

fn inject_failure(device: &Control, chance: &mut Chance) {
    if let Some(failure) = chance.one_of(&DeviceFailure::ALL) {
        failure.inject(device);
        chance.pause();
        recover(device);
    }
}

/// Measures the proxy without load, with both devices usable.
fn at_rest(proxy: &Proxy, devices: &[Control; 2]) -> Outcome<Footprint> {
    devices.iter().for_each(recover);
    if moment(PATIENCE, || both_serve(proxy))?.is_none() {
        note("the devices are not both usable although no failure is active")?;
    }
    thread::sleep(SETTLE);
    let footprint = proxy.footprint()?;
    note(&format!("at rest: {footprint:?}"))?;
    Ok(footprint)
}

fn report(proxy: &Arc<Proxy>, log: &Log, before: Footprint, after: Footprint) -> Outcome<()> {
    let (requests, failed) = (log.samples.len(), log.failed());
    let p999 = quantile(log.latencies(), 0.999);
    note(&format!(
        "{requests} requests, {failed} failed, p99.9 {p999:.1} ms"
    ))?;
    at_least("soak: ciphertexts", log.ciphertexts.len() as f64, "", 1.0)?;
    let lost = unreadable(proxy, &log.ciphertexts)? as f64;
    at_most("soak: ciphertexts that cannot be decrypted", lost, "", 0.0)?;
    at_most("soak: false responses", log.wrong() as f64, "", 0.0)?;
    let memory = after.resident_mib - before.resident_mib;
    at_most("soak: more memory", memory, "MiB", MEMORY_SLACK_MIB)?;
    let descriptors = after.descriptors as f64 - before.descriptors as f64;
    at_most("soak: more descriptors", descriptors, "", 0.0)?;
    let threads = after.threads as f64 - before.threads as f64;
    at_most("soak: more threads", threads, "", 0.0)
}

/// A generator of numbers that a seed repeats (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(all.len() as u64)).ok()?;
        all.get(index)
    }

    /// Pauses for 0.5 to 3 s.
    fn pause(&mut self) {
        thread::sleep(Duration::from_millis(500 + self.below(2_500)));
    }
}
