//! `strangers`: the effect of clients without a credential on clients that have one.
//!
//! `tests/bench/strangers` starts a proxy and runs this program twice. One process, pinned to one core, attacks the proxy. The other measures
//! legitimate traffic at the same time. Figures are lines of `name, value, target, result`, separated by tabs.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;

#[path = "../connection.rs"]
mod connection;

#[expect(dead_code, reason = "failover and this program each use a part")]
#[path = "../drill/client.rs"]
mod client;
#[expect(dead_code, reason = "failover and this program each use a part")]
#[path = "../drill/figures.rs"]
mod figures;
#[path = "../drill/messages.rs"]
mod messages;
#[expect(dead_code, reason = "failover and this program each use a part")]
#[path = "../drill/open_loop.rs"]
mod open_loop;
#[expect(dead_code, reason = "failover and this program each use a part")]
#[path = "../drill/target.rs"]
mod target;

mod attack;
mod bodies;
mod measure;

/// One side of `tests/bench/strangers`.
#[derive(Parser)]
#[command(name = "strangers")]
enum Side {
    /// Attack until SIGTERM.
    Attack(attack::Attack),
    /// Send legitimate traffic, and print its figures.
    Measure(measure::Measure),
}

fn main() -> ExitCode {
    let done = match Side::parse() {
        Side::Attack(side) => side.run(),
        Side::Measure(side) => side.run(),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    // A closed error stream is not an error.
    let _ = writeln!(io::stderr(), "strangers: {failure}");
    ExitCode::FAILURE
}
