//! `xks-proxy key rotate`.
//!
//! # Invariants
//! - The configuration is printed, never written.
//! - It is printed only when every HSM of the key store has proved that it holds the new key.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{advice, name_of, open, store, unknown};
use crate::cli::exit::{ExitStatus, Refusal};
use crate::cli::hsms::LoginOptions;
use crate::cli::load;
use crate::config::{NewVersion, Original};
use crate::hex;
use crate::inventory::{Rotated, Rotation};
use crate::keystore::{KeySettings, KeyStoreSettings};
use crate::xks::KeyVersion;

/// Make the next version of a key and print the change of the configuration; every older version still decrypts.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy key rotate --config /etc/xks-proxy/config.toml --store payments --key orders\n\n\
    The change comes in two steps, because a proxy that does not know the new version yet cannot decrypt what another \
    one has encrypted with it. When an HSM of the key store lacks the new key, the command says so and ends with 1; \
    run again, it makes nothing twice and goes on.\n\n\
    Exit codes: 0 every HSM has the new key, 1 refused or not on every HSM yet, 2 wrong usage, 78 bad configuration."
)]
pub(in crate::cli) struct Rotate {
    /// The configuration file; it is not changed.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The key store.
    #[arg(long, value_name = "NAME")]
    store: String,
    /// The key's id.
    #[arg(long, value_name = "ID")]
    key: String,
    /// CKA_LABEL of the new version; the first version's with `-v<N>` behind it, if it is not given.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    label: Option<String>,
    /// The `[[hsm]]` that makes it; the first one of the key store, if it is not given.
    #[arg(long, value_name = "NAME")]
    hsm: Option<String>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logins: LoginOptions,
}

/// A rotation, how far it has come, and the key's table after each step.
struct Outcome {
    number: u32,
    label: String,
    rotated: Rotated,
    /// None until every HSM has the new key.
    steps: Option<[String; 2]>,
}

impl Rotate {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let outcome = match self.rotate() {
            Ok(outcome) => outcome,
            Err(refusal) => return refusal.tell(),
        };
        // A closed output changes nothing about the exit code.
        drop(match self.json {
            true => outcome.print_json(),
            false => self.print_text(&outcome),
        });
        match outcome.steps {
            Some(_) => ExitStatus::Done,
            None => ExitStatus::No,
        }
    }

    fn rotate(&self) -> Result<Outcome, Refusal> {
        let (loaded, original) = load::original(&self.config)?;
        let configuration = loaded.configuration;
        let store = store(&configuration, &self.store)?;
        let place = (store, self.key_of(store)?);
        if let Some(hsm) = self.hsm.as_ref().filter(|hsm| !store.hsms.contains(hsm)) {
            return Err(unknown(
                "HSM of the key store",
                hsm,
                store.hsms.iter().map(String::as_str),
            ));
        }
        let no = |reason| Refusal::new(ExitStatus::No, reason);
        let (stores, hsms) = (&configuration.key_stores, &configuration.hsms);
        let rotation = Rotation::plan(stores, hsms, place, self.label.clone()).map_err(no)?;
        let mut inventory = open(&self.config, &configuration, &store.hsms, &self.logins);
        let rotated = rotation.carry_out(&mut inventory, self.hsm.as_deref());
        let rotated = rotated.map_err(no)?;
        let steps = self.steps(&original, &rotation);
        let steps =
            steps.ok_or_else(|| Refusal::internal("the key's table was not found again"))?;
        Ok(Outcome {
            number: rotation.number.0,
            steps: rotated.is_complete().then_some(steps),
            label: rotation.label,
            rotated,
        })
    }

    /// The key's table after each step, with all that it has in the configuration.
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

    fn key_of<'a>(&self, store: &'a KeyStoreSettings) -> Result<&'a KeySettings, Refusal> {
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
            "\nStep 1. On every proxy of the fleet: version {number} decrypts. This takes the place of the key's table in the key \
             store {store:?}:\n\n{first}"
        )?;
        write!(
            out,
            "\nStep 2. Only when step 1 is in force on every proxy: version {number} encrypts. A proxy that does not know it yet \
             would answer InvalidCiphertextException to what the others encrypt.\n\n{second}"
        )?;
        let keep = "Keep the older versions, in the HSMs and in the configuration: KMS sends their ciphertexts for ever.";
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
            None => writeln!(out, "version {number}: there already: {name}")?,
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
            "Leave the configuration as it is. Then run the same command again: it goes on from there."
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
