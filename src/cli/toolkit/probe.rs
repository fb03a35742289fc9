//! `xks-proxy probe`.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::target::{SERVICE, Target, TargetOptions};
use crate::cli::input::files::read_text;
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::toolkit::probe::{self, Check, CheckResult, Report, Settings, TrustedRoots};

/// Find out whether KMS could use an endpoint: names, TLS, certificates, credential, clocks, latencies.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    xks-proxy probe --endpoint https://xks.example.com --credential console.json --region eu-west-1 --key orders\n\n\
    Each check prints one line, and the corrective action below it: ok, warn (KMS works, with a limitation), FAIL (KMS will not work), \
    skip (result not known). With --key, the command requests the key's metadata, and encrypts and decrypts a few bytes with the key.\n\n\
    The chain must lead to a root of this machine, or of --ca, that is in AWS's list of trusted CAs; this build knows that list. \
    --trusted-roots is a newer list (aws-kms-xksproxy-api-spec, TrustedCertificateAuthorities) or PEM.\n\n\
    Exit codes: 0 no check failed, 1 one did, 2 wrong usage.")]
pub(in crate::cli) struct Probe {
    #[command(flatten)]
    target: TargetOptions,
    /// The authorities that KMS trusts: lines with SHA-256 fingerprints, or PEM.
    #[arg(long, value_name = "FILE")]
    trusted_roots: Option<PathBuf>,
    /// Requests of each operation, to see how long they take.
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    samples: u32,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

impl Probe {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        self.probe().unwrap_or_else(CommandError::report)
    }

    fn probe(&self) -> Result<ExitStatus, CommandError> {
        let target = self.target.target()?;
        let trusted = self.trusted_roots()?;
        let live = !self.json && io::stdout().is_terminal();
        let settings = self.settings(target, trusted);
        let outcome = probe::run(settings, |check| {
            if live {
                drop(print_check(&mut io::stdout(), check));
            }
        });
        let report = outcome.map_err(CommandError::internal)?;
        // A closed output changes nothing about the exit code.
        drop(self.print(&report, live));
        Ok(match report.is_ready() {
            true => ExitStatus::Done,
            false => ExitStatus::No,
        })
    }

    fn settings(&self, target: Target, trusted: Option<TrustedRoots>) -> Settings {
        Settings {
            credential: target.credential(),
            host: target.host,
            port: target.port,
            address: target.connect,
            path: target.path,
            region: target.region,
            service: SERVICE,
            authorities: target.authorities,
            identity: target.identity,
            trusted,
            key: self.target.key.clone(),
            samples: self.samples,
        }
    }

    fn trusted_roots(&self) -> Result<Option<TrustedRoots>, CommandError> {
        let Some(file) = &self.trusted_roots else {
            return Ok(None);
        };
        let roots = TrustedRoots::parse(&read_text(file)?);
        let file = file.display();
        let wrong = |error| CommandError::usage(format!("{file} {error}"));
        roots.map(Some).map_err(wrong)
    }

    fn print(&self, report: &Report, shown: bool) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.json {
            let report = json!({ "ready": report.is_ready(), "checks": report.checks });
            return writeln!(stdout, "{report}");
        }
        let checks = report.checks.iter().filter(|_| !shown);
        for check in checks {
            print_check(&mut stdout, check)?;
        }
        let (failed, warned) = (
            report.count(CheckResult::Fail),
            report.count(CheckResult::Warn),
        );
        match report.is_ready() {
            true => writeln!(
                stdout,
                "\nReady for KMS, as far as can be seen from here ({warned} warnings)."
            ),
            false => writeln!(
                stdout,
                "\nNot ready for KMS: {failed} failed, {warned} warnings."
            ),
        }
    }
}

fn print_check(out: &mut impl Write, check: &Check) -> io::Result<()> {
    let result = match check.result {
        CheckResult::Ok => "ok",
        CheckResult::Skipped => "skip",
        CheckResult::Warn => "warn",
        CheckResult::Fail => "FAIL",
    };
    writeln!(out, "{result:<5}{:<18}{}", check.name, check.finding)?;
    match check.action {
        Some(action) => writeln!(out, "{:23}→ {action}", ""),
        None => Ok(()),
    }
}
