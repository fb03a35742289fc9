//! `failover`: what becomes of requests while HSMs are slow, hang, fail and come back.
//!
//! `tests/bench/failover` builds a proxy on fault-injecting modules and calls one stage of this program after the other; each prints
//! its figures as lines of `name, value, target, verdict`, parted by tabs. The proxy is known by its wire, its metrics and its entry
//! in /proc only.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;

#[path = "../connection.rs"]
mod connection;
#[path = "../../faulty_pkcs11/control.rs"]
mod control;

mod client;
mod closed_loop;
mod faults;
mod figures;
mod import;
mod messages;
mod one_device;
mod open_loop;
mod pulse;
mod rejected;
mod soak;
#[expect(dead_code, reason = "tests/bench/live uses the rest")]
mod target;
mod two_devices;

/// One stage of `tests/bench/failover`.
#[derive(Parser)]
#[command(name = "failover")]
enum Stage {
    /// Put one new key value under each label into each token: AES-256, sensitive, not extractable.
    Import(import::Import),
    /// A device of 20 ms and as many sessions as connections: throughput.
    Busy(one_device::Busy),
    /// The same device with one session: how the surplus is refused.
    Crowded(one_device::Crowded),
    /// Two devices, one of which fails in each way and heals.
    Two(two_devices::Two),
    /// The only device hangs and comes back.
    Alone(one_device::Alone),
    /// The HSMs reject one key; another one is used beside it.
    Rejected(rejected::Rejected),
    /// Random faults on two devices.
    Soak(soak::Soak),
}

fn main() -> ExitCode {
    let done = match Stage::parse() {
        Stage::Import(stage) => stage.run(),
        Stage::Busy(stage) => stage.run(),
        Stage::Crowded(stage) => stage.run(),
        Stage::Two(stage) => stage.run(),
        Stage::Alone(stage) => stage.run(),
        Stage::Rejected(stage) => stage.run(),
        Stage::Soak(stage) => stage.run(),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    // Nothing is left to be done about an error stream that is gone.
    let _ = writeln!(io::stderr(), "failover: {failure}");
    ExitCode::FAILURE
}
