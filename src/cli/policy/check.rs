//! `xks-proxy policy check`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::load;
use crate::cli::output::exit::ExitStatus;

/// Check the policy: its syntax, the schema, and rules without effect.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy policy check --config /etc/xks-proxy/config.toml --strict\n\n\
    These cause a warning: rules whose conditions can never be true, duplicate rules, rules that permit what another rule \
    forbids unconditionally, rules with names that cannot exist (key stores, keys, accounts, roles), and files in the directory \
    of the policies that are not read.\n\n\
    Exit codes: 0 no errors (there may be warnings), 1 no policy is configured, or with --strict a warning, 78 errors."
)]
pub(in crate::cli) struct Check {
    /// The configuration file, whose `[policy]` is checked.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Exit with 1 if there is a warning.
    #[arg(long)]
    strict: bool,
}

impl Check {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let (outline, policy) = match load::policy(&self.config) {
            Ok(loaded) => loaded,
            Err(refusal) => return refusal.report(),
        };
        let is_about_policy = |warning: &&crate::config::Finding| warning.key.starts_with("policy");
        let warnings: Vec<_> = outline.warnings.iter().filter(is_about_policy).collect();
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
