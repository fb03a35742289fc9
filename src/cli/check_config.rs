//! `xks-proxy check-config`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::exit::ExitStatus;
use crate::config::{self, Finding, Findings, Loaded};

/// Check a configuration and every file that it names; start nothing.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy check-config --config /etc/xks-proxy/config.toml\n\n\
    Exit codes: 0 no faults (there may be warnings), 78 faults."
)]
pub(super) struct CheckConfig {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl CheckConfig {
    pub(super) fn run(self) -> ExitStatus {
        let outcome = config::load(&self.config);
        let status = match &outcome {
            Ok(_) => ExitStatus::Done,
            Err(_) => ExitStatus::BadConfiguration,
        };
        match self.json {
            true => print_json(&outcome),
            false => self.print_text(&outcome),
        }
        status
    }

    fn print_text(&self, outcome: &Result<Loaded, Findings>) {
        let file = self.config.display();
        let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
        // A closed output changes nothing about the exit code.
        match outcome {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    drop(writeln!(stderr, "warning: {warning}"));
                }
                drop(writeln!(stdout, "{file}: ok"));
            }
            Err(faults) => drop(write!(stderr, "{file} has faults:\n{faults}")),
        }
    }
}

fn print_json(outcome: &Result<Loaded, Findings>) {
    let none: &[Finding] = &[];
    let (faults, warnings) = match outcome {
        Ok(loaded) => (none, loaded.warnings.as_slice()),
        Err(faults) => (faults.0.as_slice(), none),
    };
    let report = json!({ "ok": outcome.is_ok(), "faults": faults, "warnings": warnings });
    drop(writeln!(std::io::stdout(), "{report}"));
}
