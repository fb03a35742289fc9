//! `tests/bench/records`: requests whose clients disconnect at random times. All records of them must agree.
//!
//! The program uses the proxy only through the network, its metrics, its log, its audit trail and the counters of the devices.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Parser;

#[expect(dead_code, reason = "the other benchmarks use the rest")]
#[path = "../connection.rs"]
mod connection;
#[path = "../../faulty_pkcs11/control.rs"]
mod control;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
#[path = "../drill/target.rs"]
mod target;

mod client;
mod count;

use connection::Outcome;
use control::{Control, Function};
use count::{Counted, Places};
use target::{Proxy, Target, moment};

/// The number of clients.
const CLIENTS: u64 = 8;

/// The longest additional delay of a device, in microseconds.
const DEVICE_DELAY: u64 = 20_000;

/// The time in which the proxy must complete the requests of disconnected clients.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends requests, disconnects at random moments, and compares the records.
#[derive(Parser)]
#[command(name = "disconnects")]
struct Run {
    #[command(flatten)]
    target: Target,
    /// The control file of a device; once per device.
    #[arg(long, value_name = "FILE")]
    control: Vec<PathBuf>,
    /// The proxy's log, JSON.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// The audit trail, one file.
    #[arg(long, value_name = "FILE")]
    trail: PathBuf,
    /// How many requests to send.
    #[arg(long)]
    requests: u64,
    /// The seed of the random times.
    #[arg(long)]
    seed: u64,
}

fn main() -> ExitCode {
    match Run::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            // A closed error stream is not an error.
            let _ = writeln!(io::stderr(), "disconnects: {failure}");
            ExitCode::FAILURE
        }
    }
}

impl Run {
    fn run(self) -> Outcome<bool> {
        let proxy = self.target.open()?;
        let devices: Vec<Control> = self
            .control
            .iter()
            .map(|file| Control::open(file))
            .collect::<Result<_, _>>()?;
        let places = Places {
            proxy: Arc::clone(&proxy),
            log: self.log.clone(),
            trail: self.trail.clone(),
            devices,
        };
        let before = places.device_calls()?;
        for device in &places.devices {
            device.set_random_delay(Function::Encrypt, DEVICE_DELAY);
            device.set_random_delay(Function::Decrypt, DEVICE_DELAY);
        }
        let left = self.load(&proxy)?;
        let mut counted = places.count(before)?;
        moment(PATIENCE, || {
            counted = places.count(before)?;
            Ok(counted.agrees())
        })?;
        print(&counted, self.requests, left)?;
        Ok(counted.agrees())
    }

    /// Sends all requests. Returns how many clients disconnected before their response.
    fn load(&self, proxy: &Arc<Proxy>) -> Outcome<u64> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let share = self.requests / CLIENTS + u64::from(n < self.requests % CLIENTS);
                let (proxy, seed) = (Arc::clone(proxy), self.seed * CLIENTS + n);
                thread::spawn(move || client::run(&proxy, share, seed))
            })
            .collect();
        let mut left = 0;
        for client in clients {
            left += client.join().map_err(|_| "a client panicked")??;
        }
        Ok(left)
    }
}

fn print(counted: &Counted, sent: u64, left: u64) -> Outcome<()> {
    let mut out = io::stdout().lock();
    let rows = [
        ("requests sent", sent),
        ("  clients that disconnected before the response", left),
        (
            "verified requests (xks_credential_requests_total)",
            counted.verified,
        ),
        (
            "counts (xks_requests_total of verified requests)",
            counted.counts,
        ),
        ("access lines", counted.access_lines),
        ("audit lines", counted.audit_lines),
        ("  different kmsRequestIds in them", counted.audit_ids),
        (
            "HSM calls, by the audit lines (hsm_calls)",
            counted.audit_calls,
        ),
        (
            "HSM calls, by the proxy (xks_hsm_calls_total less seals)",
            counted.module_calls,
        ),
        (
            "HSM calls, by the devices (less seals and health checks)",
            counted.device_calls,
        ),
    ];
    for (name, number) in rows {
        writeln!(out, "{name:<60} {number:>8}")?;
    }
    let result = if counted.agrees() {
        "all records agree"
    } else {
        "THE RECORDS DIFFER"
    };
    writeln!(out, "{result}")?;
    Ok(())
}
