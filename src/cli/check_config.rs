//! `xks-proxy check-config`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::exit::ExitStatus;
use super::hsms;
use crate::audit::Trail;
use crate::config::{self, Configuration, Finding, Findings, Loaded, Reading};
use crate::inventory::{Examination, Holding, TokenReport, VersionReport};

/// Check a configuration and every file that it names; start nothing.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy check-config --config /etc/xks-proxy/config.toml\n  \
    xks-proxy check-config --config /etc/xks-proxy/config.toml --hsm\n\n\
    With --hsm each HSM is opened once: AES-GCM, then its PIN, its AES-GCM with the health key, and every version of every \
    key, which must be there, encrypt and decrypt, and be the same key on every HSM; a key whose value can leave the HSM is a warning; the key of [audit] must be on one HSM at least. A PIN that is refused is not tried again, also not by later runs that can read the service's record of logins. A proxy may run on the \
    same HSMs meanwhile. An HSM whose library hangs, crashes or exits is a fault; the others are checked.\n\n\
    Exit codes: 0 no faults (there may be warnings), 1 the configuration is fine but a check of the HSMs failed, or with \
    --strict there is a warning, 78 faults."
)]
pub(super) struct CheckConfig {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the HSMs and their keys as well.
    #[arg(long)]
    hsm: bool,
    /// Warnings fail.
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
        let faults = examination.as_ref().map(Examination::all_faults);
        let faults = faults.unwrap_or_default();
        let remarks = examination.as_ref().map(Examination::all_remarks);
        let of_hsms = OfHsms {
            faults,
            remarks: remarks.unwrap_or_default(),
        };
        let status = self.status(&outcome, &of_hsms);
        // A closed output changes nothing about the exit code.
        drop(match self.json {
            true => print_json(status, &outcome, examination.as_ref(), &of_hsms),
            false => self.print_text(&outcome, examination.as_ref(), &of_hsms),
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

    fn status(&self, outcome: &Result<Loaded, Findings>, of_hsms: &OfHsms) -> ExitStatus {
        let warns = |loaded: &Loaded| !(loaded.warnings.is_empty() && of_hsms.remarks.is_empty());
        match outcome {
            Err(_) => ExitStatus::BadConfiguration,
            Ok(loaded) if self.strict && warns(loaded) => ExitStatus::No,
            Ok(_) if of_hsms.faults.is_empty() => ExitStatus::Done,
            Ok(_) => ExitStatus::No,
        }
    }

    fn print_text(
        &self,
        outcome: &Result<Loaded, Findings>,
        examination: Option<&Examination>,
        of_hsms: &OfHsms,
    ) -> io::Result<()> {
        let file = self.config.display();
        let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(faults) => return write!(stderr, "{file} has faults:\n{faults}"),
        };
        for warning in &loaded.warnings {
            writeln!(stderr, "warning: {warning}")?;
        }
        for remark in &of_hsms.remarks {
            writeln!(stderr, "warning: {remark}")?;
        }
        match loaded.warnings.len() + of_hsms.remarks.len() {
            count @ 1.. if self.strict => {
                writeln!(stderr, "{file}: {count} warnings; --strict allows none")?;
            }
            _ => writeln!(stdout, "{file}: ok")?,
        }
        if let Some(examination) = examination {
            print_what_is_well(&mut stdout, examination)?;
        }
        for fault in &of_hsms.faults {
            writeln!(stderr, "FAULT {fault}")?;
        }
        Ok(())
    }
}

/// What the check of the HSMs found.
struct OfHsms {
    faults: Vec<String>,
    remarks: Vec<String>,
}

/// The configuration, if a start would accept it, its certificate, which KMS must accept, and the place of its audit trail.
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

/// The configuration, if nothing is wrong with it or with its certificate.
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

/// One line for each HSM and each key version that has no fault.
fn print_what_is_well(out: &mut impl Write, examination: &Examination) -> io::Result<()> {
    let is_well = |hsm: &&TokenReport| hsm.faults.is_empty();
    for hsm in examination.hsms.iter().filter(is_well) {
        let (token, profile) = (hsm.token.as_deref(), hsm.gcm_profile.as_deref());
        let (name, token) = (&hsm.name, token.unwrap_or_default());
        let profile = profile.unwrap_or_default();
        writeln!(
            out,
            "{name}: ok: {token}; AES-GCM as {profile}, proved with its health key"
        )?;
    }
    let is_well = |key: &&VersionReport| key.faults.is_empty();
    for key in examination.keys.iter().filter(is_well) {
        let (name, selector) = (key.name(), &key.selector);
        let (asked, not_asked): (Vec<_>, Vec<_>) =
            key.hsms.iter().partition(|holding| holding.found.is_some());
        if !asked.is_empty() {
            writeln!(out, "{name}: ok: {selector} on {}", names(&asked))?;
        }
        if !not_asked.is_empty() {
            let hsms = names(&not_asked);
            writeln!(out, "{name}: not known: {hsms} could not be asked")?;
        }
    }
    let audit_key = examination.audit_key.iter();
    for key in audit_key.filter(|key| key.faults.is_empty()) {
        let has_it = |holding: &&Holding| holding.found.is_some_and(|found| found > 0);
        let hsms: Vec<_> = key.hsms.iter().filter(has_it).collect();
        match hsms.is_empty() {
            true => writeln!(out, "audit.key: not known: no HSM could be asked")?,
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
    of_hsms: &OfHsms,
) -> io::Result<()> {
    let none: &[Finding] = &[];
    let (faults, warnings) = match outcome {
        Ok(loaded) => (none, loaded.warnings.as_slice()),
        Err(faults) => (faults.0.as_slice(), none),
    };
    let is_ok = status == ExitStatus::Done;
    let mut report = json!({ "ok": is_ok, "faults": faults, "warnings": warnings });
    if let (Some(examination), Some(report)) = (examination, report.as_object_mut()) {
        let checks = json!({ "hsms": examination.hsms, "keys": examination.keys, "audit_key": examination.audit_key, "faults": of_hsms.faults, "warnings": of_hsms.remarks });
        report.insert("checks".to_owned(), checks);
    }
    writeln!(io::stdout(), "{report}")
}
