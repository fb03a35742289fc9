//! `live`: requests while the configuration changes, and the effect of many tenants on each other.
//!
//! `tests/bench/live` makes tokens and certificates, and runs one stage of this program after the other. Each stage starts the proxy on its own
//! configurations, changes them under load, and prints its figures as lines of `name, value, target, result`, separated by tabs. It uses the
//! proxy only through the network, the log, the metrics and /proc.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;

#[path = "../connection.rs"]
mod connection;
#[path = "../../faulty_pkcs11/control.rs"]
mod control;

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

mod access_log;
mod document;
mod reload;
mod rotation;
mod running;
mod scale;
mod scene;
mod sweep;
mod switch;
mod tenants;

/// One stage of `tests/bench/live`.
#[derive(Parser)]
#[command(name = "live")]
enum Stage {
    /// Ten changes of the configuration per second under load.
    Reload(reload::Reload),
    /// Rotation of a credential under load.
    Credentials(rotation::CredentialRotation),
    /// Rotation of a key under load.
    Keys(rotation::KeyRotation),
    /// The time until requests of a disabled store or key are rejected.
    Switch(switch::Switch),
    /// One store far above its quota, and another one.
    Quota(tenants::Quota),
    /// One store that floods a slow device, and another one.
    Flood(tenants::Flood),
    /// A hundred stores of a hundred keys, and one store of one key.
    Scale(scale::Scale),
    /// The cost of a token without a proxy: a search for all its keys, and encryptions.
    Sweep(sweep::Sweep),
}

fn main() -> ExitCode {
    let done = match Stage::parse() {
        Stage::Reload(stage) => stage.run(),
        Stage::Credentials(stage) => stage.run(),
        Stage::Keys(stage) => stage.run(),
        Stage::Switch(stage) => stage.run(),
        Stage::Quota(stage) => stage.run(),
        Stage::Flood(stage) => stage.run(),
        Stage::Scale(stage) => stage.run(),
        Stage::Sweep(stage) => stage.run(),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    // A closed error stream is not an error.
    let _ = writeln!(io::stderr(), "live: {failure}");
    ExitCode::FAILURE
}
