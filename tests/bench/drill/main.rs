//! `failover`: requests while HSMs are slow, hang, fail and recover.
//!
//! `tests/bench/failover` starts a proxy on fault-injecting modules, and runs one stage of this program after the other. Each prints its
//! figures as lines of `name, value, target, result`, separated by tabs. It uses the proxy only through the network, the metrics and /proc.

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
    /// A device with 20 ms per call and as many sessions as connections: throughput.
    Busy(one_device::Busy),
    /// The same device with one session: rejection of the surplus.
    Saturated(one_device::Saturated),
    /// Two devices, one of which fails in each way and recovers.
    Two(two_devices::Two),
    /// The only device hangs and recovers.
    Alone(one_device::Alone),
    /// The HSMs reject one key, and another key is used at the same time.
    Rejected(rejected::Rejected),
    /// Random failures of two devices.
    Soak(soak::Soak),
}

fn main() -> ExitCode {
    let done = match Stage::parse() {
        Stage::Import(stage) => stage.run(),
        Stage::Busy(stage) => stage.run(),
        Stage::Saturated(stage) => stage.run(),
        Stage::Two(stage) => stage.run(),
        Stage::Alone(stage) => stage.run(),
        Stage::Rejected(stage) => stage.run(),
        Stage::Soak(stage) => stage.run(),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    // A closed error stream is not an error.
    let _ = writeln!(io::stderr(), "failover: {failure}");
    ExitCode::FAILURE
}
