//! `strangers`: what clients without a credential cost those that have one.
//!
//! `tests/bench/strangers` starts a proxy and calls this program twice: one process attacks it, pinned to one core, another one measures what becomes
//! of legitimate traffic meanwhile. Figures are lines of `name, value, target, verdict`, parted by tabs.

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
    /// Send legitimate traffic, and print what became of it.
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
    // Nothing is left to be done about an error stream that is gone.
    let _ = writeln!(io::stderr(), "strangers: {failure}");
    ExitCode::FAILURE
}
