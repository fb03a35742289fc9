//! Two devices with the same keys. One of them fails in each way and recovers. KMS must not notice.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::unreadable;
use crate::connection::Outcome;
use crate::control::Control;
use crate::faults::{DeviceFailure, recover};
use crate::figures::{at_most, note, quantile, within};
use crate::open_loop::{Load, Log};
use crate::target::{Proxy, Target, moment};

/// The load before the failure, and after the recovery of the device.
const CALM: Duration = Duration::from_secs(2);

/// The timeout for a device, independent of the target.
const PATIENCE: Duration = Duration::from_secs(40);

/// The number of jobs after its recovery with which a device counts as in rotation.
const SOME_JOBS: f64 = 5.0;

/// One of this many ciphertexts is decrypted at the end.
const CHECK_EVERY: usize = 10;

/// The proxy, the devices and the duration.
#[derive(Args)]
pub struct Two {
    #[command(flatten)]
    target: Target,
    /// The control file of hsm-a, which fails.
    #[arg(long, value_name = "FILE")]
    control_a: PathBuf,
    /// The control file of hsm-b, which does not fail.
    #[arg(long, value_name = "FILE")]
    control_b: PathBuf,
    /// Requests per second.
    #[arg(long, default_value = "500")]
    rate: u32,
    /// The duration of each failure.
    #[arg(long, default_value = "10")]
    seconds: u64,
}

impl Two {
    /// Runs one failure after the other.
    pub fn run(&self) -> Outcome<()> {
        let proxy = self.target.open()?;
        let device = Control::open(&self.control_a)?;
        recover(&device);
        recover(&Control::open(&self.control_b)?);
        for failure in DeviceFailure::ALL {
            if moment(PATIENCE, || both_serve(&proxy))?.is_none() {
                note("the devices are not both usable before the next failure")?;
            }
            self.fail(&proxy, &device, failure)?;
        }
        Ok(())
    }

    fn fail(&self, proxy: &Arc<Proxy>, device: &Control, failure: DeviceFailure) -> Outcome<()> {
        note(&format!("hsm-a: {}", failure.name()))?;
        let load = Load::start(proxy, self.rate)?;
        thread::sleep(CALM);
        let started = Instant::now();
        failure.inject(device);
        thread::sleep(Duration::from_secs(self.seconds));
        recover(device);
        let recovered = Instant::now();
        let back = back_in_rotation(proxy, "hsm-a")?;
        thread::sleep(CALM);
        let log = load.stop()?;
        log.explain(started)?;
        let back = back.map(|back| back.saturating_duration_since(recovered));
        report(proxy, failure, &log, back)
    }
}

/// Returns whether both devices are usable.
pub fn both_serve(proxy: &Proxy) -> Outcome<bool> {
    Ok(proxy.serves("hsm-a")? && proxy.serves("hsm-b")?)
}

/// Returns when a device under load is usable and runs jobs again.
fn back_in_rotation(proxy: &Proxy, hsm: &str) -> Outcome<Option<Instant>> {
    let mut jobs_when_usable = None;
    moment(PATIENCE, || {
        if !proxy.serves(hsm)? {
            jobs_when_usable = None;
            return Ok(false);
        }
        let jobs = proxy.jobs(hsm)?;
        Ok(jobs - *jobs_when_usable.get_or_insert(jobs) >= SOME_JOBS)
    })
}

fn report(
    proxy: &Arc<Proxy>,
    failure: DeviceFailure,
    log: &Log,
    back: Option<Duration>,
) -> Outcome<()> {
    let name = |figure: &str| format!("two devices, one {}: {figure}", failure.name());
    let checked: Vec<_> = log
        .ciphertexts
        .iter()
        .step_by(CHECK_EVERY)
        .cloned()
        .collect();
    let wrong = log.wrong() + unreadable(proxy, &checked)?;
    note(&format!(
        "{} ciphertexts, of which {} were decrypted",
        log.ciphertexts.len(),
        checked.len()
    ))?;
    at_most(&name("failed requests"), log.failed() as f64, "", 0.0)?;
    at_most(&name("false responses"), wrong as f64, "", 0.0)?;
    let p999 = quantile(log.latencies(), 0.999);
    at_most(&name("p99.9"), p999, "ms", 200.0)?;
    within(&name("back in rotation after"), back, 10.0)
}
