//! `xks-proxy policy check`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::ExitStatus;

/// Check the policy: syntax, the schema, rules without effect.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy policy check --config /etc/xks-proxy/config.toml --strict\n\n\
    Warned about are rules whose conditions can never be true, rules that are there twice, rules that permit what another one \
    forbids under no condition, rules that name what cannot exist (key stores, keys, accounts, roles), and files in the policy's \
    directory that are not read.\n\n\
    Exit codes: 0 no faults (there may be warnings), 1 there is no policy, or with --strict a warning, 78 faults."
)]
pub(in crate::cli) struct Check {
    /// The configuration file, whose `[policy]` is checked.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Warnings fail.
    #[arg(long)]
    strict: bool,
}

impl Check {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let (outline, policy) = match super::load(&self.config) {
            Ok(loaded) => loaded,
            Err(refusal) => return refusal.tell(),
        };
        let of_policy = |warning: &&crate::config::Finding| warning.key.starts_with("policy");
        let warnings: Vec<_> = outline.warnings.iter().filter(of_policy).collect();
        // A closed output changes nothing about the exit code.
        for warning in &warnings {
            drop(writeln!(io::stderr(), "warning: {warning}"));
        }
        drop(writeln!(io::stdout(), "{} rules: ok", policy.len()));
        match self.strict && !warnings.is_empty() {
            true => ExitStatus::No,
            false => ExitStatus::Done,
        }
    }
}
