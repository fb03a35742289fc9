//! `xks-proxy key rotate`.
//!
//! # Invariants
//! - The configuration is printed, never written.
//! - It is printed only if every HSM of the key store was proved to have the new key.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::{advice, name_of, open, report_error, store, unknown};
use crate::cli::input::hsms::LoginOptions;
use crate::cli::input::load;
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::config::{NewVersion, Original};
use crate::hex;
use crate::inventory::{CreationError, Rotated, Rotation};
use crate::keystore::{KeySettings, KeyStoreSettings};
use crate::xks::KeyVersion;

/// Create the next version of a key, and print the change of the configuration. All older versions still decrypt.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy key rotate --config /etc/xks-proxy/config.toml --store payments --key orders\n\n\
    The change has two steps: a proxy that does not know the new version cannot decrypt ciphertexts that another proxy \
    encrypted with it. If an HSM of the key store lacks the new key, the exit code is 1. Run the same command again later: it \
    continues, and creates no second key.\n\n\
    Exit codes: 0 every HSM has the new key; 1 the label is in use, or an HSM lacks the new key; 2 wrong usage; 3 an HSM cannot be \
    opened or does not answer; 78 bad configuration. With --json, \"error\" is name_in_use, hsm_unavailable or creation_failed."
)]
pub(in crate::cli) struct Rotate {
    /// The configuration file. It is not changed.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The key store.
    #[arg(long, value_name = "NAME")]
    store: String,
    /// The key's id.
    #[arg(long, value_name = "ID")]
    key: String,
    /// CKA_LABEL of the new version. Default: the label of the first version, followed by `-v<N>`.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    label: Option<String>,
    /// The `[[hsm]]` that creates the key. Default: the first one of the key store.
    #[arg(long, value_name = "NAME")]
    hsm: Option<String>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logins: LoginOptions,
}

/// Why a rotation failed.
enum Failure {
    Creation(CreationError),
    Command(CommandError),
}

impl From<CreationError> for Failure {
    fn from(error: CreationError) -> Self {
        Self::Creation(error)
    }
}

impl From<CommandError> for Failure {
    fn from(refusal: CommandError) -> Self {
        Self::Command(refusal)
    }
}

/// A rotation, its progress, and the table of the key after each step.
struct Outcome {
    number: u32,
    label: String,
    rotated: Rotated,
    /// `None` until every HSM has the new key.
    steps: Option<[String; 2]>,
}

impl Rotate {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let outcome = match self.rotate() {
            Ok(outcome) => outcome,
            Err(Failure::Creation(error)) => return report_error(&error, self.json),
            Err(Failure::Command(refusal)) => return refusal.report(),
        };
        // If standard output is closed, the exit code is the only report.
        drop(match self.json {
            true => outcome.print_json(),
            false => self.print_text(&outcome),
        });
        match outcome.steps {
            Some(_) => ExitStatus::Done,
            None => ExitStatus::No,
        }
    }

    fn rotate(&self) -> Result<Outcome, Failure> {
        let (loaded, original) = load::original(&self.config)?;
        let configuration = loaded.configuration;
        let store = store(&configuration, &self.store)?;
        let place = (store, self.key_of(store)?);
        if let Some(hsm) = self.hsm.as_ref().filter(|hsm| !store.hsms.contains(hsm)) {
            let known = store.hsms.iter().map(String::as_str);
            return Err(unknown("HSM of the key store", hsm, known).into());
        }
        let (stores, hsms) = (&configuration.key_stores, &configuration.hsms);
        let rotation = Rotation::plan(stores, hsms, place, self.label.clone())?;
        let mut inventory = open(&self.config, &configuration, &store.hsms, &self.logins);
        let rotated = rotation.carry_out(&mut inventory, self.hsm.as_deref())?;
        let steps = self.steps(&original, &rotation);
        let steps = steps
            .ok_or_else(|| CommandError::internal("the table of the key was not found again"))?;
        Ok(Outcome {
            number: rotation.number.0,
            steps: rotated.is_complete().then_some(steps),
            label: rotation.label,
            rotated,
        })
    }

    /// Returns the table of the key after each step, with all attributes that it has in the configuration.
    fn steps(&self, original: &Original, rotation: &Rotation<'_>) -> Option<[String; 2]> {
        let table = |primary: KeyVersion| {
            let new = NewVersion {
                number: rotation.number.0,
                label: &rotation.label,
                primary: primary.0,
            };
            original.rotated_key(&self.store, &self.key, new)
        };
        let [first, second] = rotation.primaries().map(table);
        Some([first?, second?])
    }

    fn key_of<'a>(&self, store: &'a KeyStoreSettings) -> Result<&'a KeySettings, CommandError> {
        let mut keys = store.keys.iter();
        keys.find(|key| key.id().as_str() == self.key)
            .ok_or_else(|| {
                unknown(
                    "key",
                    &self.key,
                    store.keys.iter().map(|key| key.id().as_str()),
                )
            })
    }

    fn print_text(&self, outcome: &Outcome) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        outcome.print_findings(&mut stdout)?;
        match &outcome.steps {
            Some(steps) => self.print_steps(&mut stdout, outcome, steps),
            None => outcome.print_rest(&mut stdout),
        }
    }

    fn print_steps(
        &self,
        out: &mut impl Write,
        outcome: &Outcome,
        [first, second]: &[String; 2],
    ) -> io::Result<()> {
        let (number, store) = (outcome.number, &self.store);
        write!(
            out,
            "\nStep 1. On every proxy of the fleet: version {number} decrypts. Replace the table of the key in the key \
             store {store:?} by:\n\n{first}"
        )?;
        write!(
            out,
            "\nStep 2. When step 1 is active on every proxy: version {number} encrypts. A proxy that does not know it yet \
             would reject ciphertexts of the others with InvalidCiphertextException.\n\n{second}"
        )?;
        let keep = "Keep the older versions, in the HSMs and in the configuration: KMS may send their ciphertexts at any time.";
        writeln!(out, "\n{keep}")
    }
}

impl Outcome {
    fn print_findings(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            number,
            label,
            rotated,
            ..
        } = self;
        let name = name_of(label, &hex::encode(&rotated.id));
        match &rotated.created_on {
            Some(hsm) => writeln!(out, "version {number}: made on {hsm}: {name}")?,
            None => writeln!(out, "version {number}: exists already: {name}")?,
        }
        if self.steps.is_some() {
            writeln!(out, "on every HSM, and usable: {}", rotated.on.join(", "))?;
        }
        for remark in &rotated.remarks {
            writeln!(out, "note: {remark}")?;
        }
        Ok(())
    }

    fn print_rest(&self, out: &mut impl Write) -> io::Result<()> {
        let rotated = &self.rotated;
        for fault in &rotated.faults {
            writeln!(out, "FAULT {fault}")?;
        }
        if let (Some(from), false) = (rotated.on.first(), rotated.missing_on.is_empty()) {
            writeln!(out, "NOT on {}", rotated.missing_on.join(", "))?;
            let name = name_of(&self.label, &hex::encode(&rotated.id));
            write!(out, "\n{}", advice(&name, from, &rotated.missing_on))?;
        }
        writeln!(
            out,
            "Do not change the configuration yet. Run the same command again: it continues."
        )
    }

    fn print_json(&self) -> io::Result<()> {
        let rotated = &self.rotated;
        let report = json!({
            "ok": self.steps.is_some(),
            "version": self.number,
            "label": self.label,
            "cka_id": hex::encode(&rotated.id),
            "created_on": rotated.created_on,
            "on": rotated.on,
            "missing_on": rotated.missing_on,
            "faults": rotated.faults,
            "remarks": rotated.remarks,
            "steps": self.steps,
        });
        writeln!(io::stdout(), "{report}")
    }
}
