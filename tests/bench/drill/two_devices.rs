//! Two devices hold the same keys; one of them fails in each way and heals. KMS must not notice.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::client::unreadable;
use crate::connection::Outcome;
use crate::control::Control;
use crate::faults::{Fault, heal};
use crate::figures::{at_most, note, quantile, within};
use crate::open_loop::{Load, Log};
use crate::target::{Proxy, Target, moment};

/// Load before the fault, and after the device is back.
const CALM: Duration = Duration::from_secs(2);

/// How long a device is waited for, whatever the target says.
const PATIENCE: Duration = Duration::from_secs(40);

/// A device is in rotation when it has done so many jobs after it was usable again.
const SOME_JOBS: f64 = 5.0;

/// Every so-many-th ciphertext is decrypted at the end.
const CHECK_EVERY: usize = 10;

/// Which proxy, which devices, how long.
#[derive(Args)]
pub struct Two {
    #[command(flatten)]
    target: Target,
    /// The control file of hsm-a, which fails.
    #[arg(long, value_name = "FILE")]
    control_a: PathBuf,
    /// The control file of hsm-b, which stays well.
    #[arg(long, value_name = "FILE")]
    control_b: PathBuf,
    /// Requests per second.
    #[arg(long, default_value = "500")]
    rate: u32,
    /// How long each fault lasts.
    #[arg(long, default_value = "10")]
    seconds: u64,
}

impl Two {
    /// One fault after the other.
    pub fn run(&self) -> Outcome<()> {
        let proxy = self.target.open()?;
        let device = Control::open(&self.control_a)?;
        heal(&device);
        heal(&Control::open(&self.control_b)?);
        for fault in Fault::ALL {
            if moment(PATIENCE, || both_serve(&proxy))?.is_none() {
                note("the devices are not both usable before the next fault")?;
            }
            self.befall(&proxy, &device, fault)?;
        }
        Ok(())
    }

    fn befall(&self, proxy: &Arc<Proxy>, device: &Control, fault: Fault) -> Outcome<()> {
        note(&format!("hsm-a: {}", fault.name()))?;
        let load = Load::start(proxy, self.rate)?;
        thread::sleep(CALM);
        let struck = Instant::now();
        fault.strike(device);
        thread::sleep(Duration::from_secs(self.seconds));
        heal(device);
        let healed = Instant::now();
        let back = back_in_rotation(proxy, "hsm-a")?;
        thread::sleep(CALM);
        let log = load.stop()?;
        log.explain(struck)?;
        let back = back.map(|back| back.saturating_duration_since(healed));
        report(proxy, fault, &log, back)
    }
}

/// Whether both devices are usable.
pub fn both_serve(proxy: &Proxy) -> Outcome<bool> {
    Ok(proxy.serves("hsm-a")? && proxy.serves("hsm-b")?)
}

/// When a device under load is usable and does its share again.
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

fn report(proxy: &Arc<Proxy>, fault: Fault, log: &Log, back: Option<Duration>) -> Outcome<()> {
    let name = |figure: &str| format!("two devices, one {}: {figure}", fault.name());
    let checked: Vec<_> = log.sealed.iter().step_by(CHECK_EVERY).cloned().collect();
    let wrong = log.wrong() + unreadable(proxy, &checked)?;
    note(&format!(
        "{} ciphertexts, of which {} were read again",
        log.sealed.len(),
        checked.len()
    ))?;
    at_most(&name("failed requests"), log.failed() as f64, "", 0.0)?;
    at_most(&name("wrong answers"), wrong as f64, "", 0.0)?;
    let p999 = quantile(log.latencies(), 0.999);
    at_most(&name("p99.9"), p999, "ms", 200.0)?;
    within(&name("back in rotation after"), back, 10.0)
}
