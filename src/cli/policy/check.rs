//! `xks-proxy policy check`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::ExitStatus;

/// Check the policy: syntax, the schema, rules that never apply.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy policy check --config /etc/xks-proxy/config.toml\n\n\
    Exit codes: 0 nothing to say, 1 there is no policy or a rule that never applies, 78 faults."
)]
pub(in crate::cli) struct Check {
    /// The configuration file, whose [policy] is checked.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Check {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let (_, policy, warnings) = match super::load(&self.config) {
            Ok(loaded) => loaded,
            Err(refusal) => return refusal.tell(),
        };
        let of_policy = |warning: &&crate::config::Finding| warning.key.starts_with("policy");
        let warnings: Vec<_> = warnings.iter().filter(of_policy).collect();
        // A closed output changes nothing about the exit code.
        for warning in &warnings {
            drop(writeln!(io::stderr(), "warning: {warning}"));
        }
        drop(writeln!(io::stdout(), "{} rules: ok", policy.len()));
        match warnings.is_empty() {
            true => ExitStatus::Done,
            false => ExitStatus::No,
        }
    }
}
