//! `xks-proxy check-config`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::audit::Trail;
use crate::cli::input::hsms;
use crate::cli::output::exit::ExitStatus;
use crate::config::{self, Configuration, Finding, Findings, Loaded, Reading};
use crate::inventory::{Examination, Holding, TokenReport, VersionReport};

/// Check a configuration and all files that it names. Starts no proxy.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy check-config --config /etc/xks-proxy/config.toml\n  \
    xks-proxy check-config --config /etc/xks-proxy/config.toml --hsm\n\n\
    With --hsm, each HSM is opened once. The command checks AES-GCM, the PIN, AES-GCM with the health key, and every version of \
    every key: it must exist, encrypt and decrypt, and be the same key on every HSM. A key whose value can leave the HSM is a \
    warning. The key of [audit] must be on at least one HSM. A rejected PIN is not tried again, not even by later commands that \
    can read the service's record of logins. A proxy may use the same HSMs at the same time. If a library hangs, crashes or exits, \
    that HSM is an error; the others are checked.\n\n\
    Exit codes: 0 no errors (there may be warnings), 1 the configuration has no errors but a check of the HSMs failed, or with \
    --strict there is a warning, 78 errors."
)]
pub(super) struct CheckConfig {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Also check the HSMs and their keys.
    #[arg(long)]
    hsm: bool,
    /// Exit with 1 if there is a warning.
    #[arg(long)]
    strict: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logins: hsms::LoginOptions,
}

impl CheckConfig {
    pub(super) fn run(self) -> ExitStatus {
        let outcome = checked(&self.config);
        let loaded = outcome.as_ref().ok().filter(|_| self.hsm);
        let examination = loaded.map(|loaded| self.examine(&loaded.configuration));
        let faults = examination.as_ref().map(Examination::all_errors);
        let faults = faults.unwrap_or_default();
        let remarks = examination.as_ref().map(Examination::all_remarks);
        let hsm_findings = HsmFindings {
            faults,
            remarks: remarks.unwrap_or_default(),
        };
        let status = self.status(&outcome, &hsm_findings);
        // If standard output is closed, the exit code is the only report.
        drop(match self.json {
            true => print_json(status, &outcome, examination.as_ref(), &hsm_findings),
            false => self.print_text(&outcome, examination.as_ref(), &hsm_findings),
        });
        status
    }

    fn examine(&self, configuration: &Configuration) -> Examination {
        let inventory = hsms::open(&self.config, &configuration.hsms, &self.logins);
        let mut examination = inventory.examine(&configuration.key_stores);
        let audit_key = configuration
            .audit
            .as_ref()
            .and_then(|audit| audit.key.as_ref());
        examination.audit_key = audit_key.map(|key| inventory.seal_key(key));
        examination
    }

    fn status(&self, outcome: &Result<Loaded, Findings>, hsm_findings: &HsmFindings) -> ExitStatus {
        let warns =
            |loaded: &Loaded| !(loaded.warnings.is_empty() && hsm_findings.remarks.is_empty());
        match outcome {
            Err(_) => ExitStatus::BadConfiguration,
            Ok(loaded) if self.strict && warns(loaded) => ExitStatus::No,
            Ok(_) if hsm_findings.faults.is_empty() => ExitStatus::Done,
            Ok(_) => ExitStatus::No,
        }
    }

    fn print_text(
        &self,
        outcome: &Result<Loaded, Findings>,
        examination: Option<&Examination>,
        hsm_findings: &HsmFindings,
    ) -> io::Result<()> {
        let file = self.config.display();
        let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(faults) => return write!(stderr, "{file} has errors:\n{faults}"),
        };
        for warning in &loaded.warnings {
            writeln!(stderr, "warning: {warning}")?;
        }
        for remark in &hsm_findings.remarks {
            writeln!(stderr, "warning: {remark}")?;
        }
        match loaded.warnings.len() + hsm_findings.remarks.len() {
            count @ 1.. if self.strict => {
                writeln!(stderr, "{file}: {count} warnings; --strict allows none")?;
            }
            _ => writeln!(stdout, "{file}: ok")?,
        }
        if let Some(examination) = examination {
            print_passed(&mut stdout, examination)?;
        }
        for fault in &hsm_findings.faults {
            writeln!(stderr, "FAULT {fault}")?;
        }
        Ok(())
    }
}

/// The results of the check of the HSMs.
struct HsmFindings {
    faults: Vec<String>,
    remarks: Vec<String>,
}

/// Returns the configuration if a start would accept it, KMS would accept its certificate, and the audit log can be written.
fn checked(file: &Path) -> Result<Loaded, Findings> {
    let loaded = read(file)?;
    let audit = loaded.configuration.audit.as_ref();
    match audit.map_or(Ok(()), Trail::check) {
        Ok(()) => Ok(loaded),
        Err(error) => Err(Findings(vec![Finding {
            key: "audit.path".to_owned(),
            line: None,
            message: error.to_string(),
        }])),
    }
}

/// Returns the configuration if neither it nor its certificate has an error.
fn read(file: &Path) -> Result<Loaded, Findings> {
    let Reading {
        outcome,
        certificate,
        ..
    } = config::read_once(file);
    if certificate.problems.is_empty() {
        return outcome;
    }
    let mut faults = outcome.err().map_or_else(Vec::new, |faults| faults.0);
    faults.extend(certificate.problems);
    faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
    Err(Findings(faults))
}

/// Prints one line for each HSM and each key version without an error.
fn print_passed(out: &mut impl Write, examination: &Examination) -> io::Result<()> {
    let has_passed = |hsm: &&TokenReport| hsm.faults.is_empty();
    for hsm in examination.hsms.iter().filter(has_passed) {
        let (token, profile) = (hsm.token.as_deref(), hsm.gcm_profile.as_deref());
        let (name, token) = (&hsm.name, token.unwrap_or_default());
        let profile = profile.unwrap_or_default();
        writeln!(
            out,
            "{name}: ok: {token}; AES-GCM as {profile}, proved with its health key"
        )?;
    }
    let has_passed = |key: &&VersionReport| key.faults.is_empty();
    for key in examination.keys.iter().filter(has_passed) {
        let (name, selector) = (key.name(), &key.selector);
        let (known, unknown): (Vec<_>, Vec<_>) =
            key.hsms.iter().partition(|holding| holding.found.is_some());
        if !known.is_empty() {
            writeln!(out, "{name}: ok: {selector} on {}", names(&known))?;
        }
        if !unknown.is_empty() {
            let hsms = names(&unknown);
            writeln!(out, "{name}: not known: {hsms} could not be queried")?;
        }
    }
    let audit_key = examination.audit_key.iter();
    for key in audit_key.filter(|key| key.faults.is_empty()) {
        let has_it = |holding: &&Holding| holding.found.is_some_and(|found| found > 0);
        let hsms: Vec<_> = key.hsms.iter().filter(has_it).collect();
        match hsms.is_empty() {
            true => writeln!(out, "audit.key: not known: no HSM could be queried")?,
            false => writeln!(out, "audit.key: ok: {} on {}", key.selector, names(&hsms))?,
        }
    }
    Ok(())
}

fn names(holdings: &[&Holding]) -> String {
    let names: Vec<&str> = holdings.iter().map(|holding| &*holding.hsm).collect();
    names.join(", ")
}

fn print_json(
    status: ExitStatus,
    outcome: &Result<Loaded, Findings>,
    examination: Option<&Examination>,
    hsm_findings: &HsmFindings,
) -> io::Result<()> {
    let none: &[Finding] = &[];
    let (faults, warnings) = match outcome {
        Ok(loaded) => (none, loaded.warnings.as_slice()),
        Err(faults) => (faults.0.as_slice(), none),
    };
    let is_ok = status == ExitStatus::Done;
    let mut report = json!({ "ok": is_ok, "faults": faults, "warnings": warnings });
    if let (Some(examination), Some(report)) = (examination, report.as_object_mut()) {
        let checks = json!({ "hsms": examination.hsms, "keys": examination.keys, "audit_key": examination.audit_key, "faults": hsm_findings.faults, "warnings": hsm_findings.remarks });
        report.insert("checks".to_owned(), checks);
    }
    writeln!(io::stdout(), "{report}")
}
