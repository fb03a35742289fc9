//! `live`: what becomes of requests while the configuration changes, and what many tenants cost one another.
//!
//! `tests/bench/live` makes tokens and certificates and calls one stage of this program after the other. Each starts the proxy on
//! configurations of its own, changes them while it asks, and prints its figures as lines of `name, value, target, verdict`, parted by
//! tabs. The proxy is known by its wire, its log, its metrics and its entry in /proc only.

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
    /// Ten changes of the configuration a second under load.
    Reload(reload::Reload),
    /// From one credential to another under load.
    Credentials(rotation::CredentialRotation),
    /// From one version of a key to the next under load.
    Keys(rotation::KeyRotation),
    /// How soon a store or key that is switched off refuses.
    Switch(switch::Switch),
    /// One store far above its quota, and another beside it.
    Quota(tenants::Quota),
    /// One store floods a slow device, and another beside it.
    Fair(tenants::Fair),
    /// A hundred stores of a hundred keys beside one store of one key.
    Scale(scale::Scale),
    /// What a token costs without a proxy: a search for all its keys, and encryptions.
    Sweep(sweep::Sweep),
}

fn main() -> ExitCode {
    let done = match Stage::parse() {
        Stage::Reload(stage) => stage.run(),
        Stage::Credentials(stage) => stage.run(),
        Stage::Keys(stage) => stage.run(),
        Stage::Switch(stage) => stage.run(),
        Stage::Quota(stage) => stage.run(),
        Stage::Fair(stage) => stage.run(),
        Stage::Scale(stage) => stage.run(),
        Stage::Sweep(stage) => stage.run(),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    // Nothing is left to be done about an error stream that is gone.
    let _ = writeln!(io::stderr(), "live: {failure}");
    ExitCode::FAILURE
}
