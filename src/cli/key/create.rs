//! `xks-proxy key create`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::{advice, describe, load, name_of, open, report_error, unknown};
use crate::cli::input::hsms::LoginOptions;
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::config::{self, Configuration};
use crate::hsm_protocol::NewKey;
use crate::inventory::{AffectedHsms, Created, CreationError};

/// Create an AES-256 key in an HSM: sensitive, not extractable, only for encryption and decryption.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy key create --config /etc/xks-proxy/config.toml --hsm hsm-a --label orders\n  \
    xks-proxy key create --config /etc/xks-proxy/config.toml --label xks-health   # on every HSM that has no health key\n\n\
    The command rejects a label or id that is in use, on this HSM or on another HSM of its key stores. After the creation it \
    checks whether the other HSMs have the key: HSMs of some vendors share keys; for others, copy the key with the vendor's \
    tool. A health key is not shared: each HSM gets its own.\n\n\
    Exit codes: 0 created, and on every HSM of the key stores that use it; 1 the label or id is in use, or an HSM lacks the key; \
    2 wrong usage; 3 an HSM cannot be opened or does not answer; 78 bad configuration. With --json, \"error\" is name_in_use, \
    hsm_unavailable or creation_failed."
)]
pub(in crate::cli) struct Create {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The `[[hsm]]` that creates the key. Optional if there is only one, or for a health key.
    #[arg(long, value_name = "NAME")]
    hsm: Option<String>,
    /// CKA_LABEL of the key.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    label: String,
    /// CKA_ID of the key. Default: 16 random bytes.
    #[arg(long, value_name = "HEX", value_parser = config::parse_hex)]
    id: Option<KeyIdentifier>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logins: LoginOptions,
}

/// CKA_ID. This is an alias because clap treats a `Vec` as an option that may be repeated.
type KeyIdentifier = Vec<u8>;

impl Create {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let created = match self.create() {
            Ok(Ok(created)) => created,
            Ok(Err(error)) => return report_error(&error, self.json),
            Err(refusal) => return refusal.report(),
        };
        // If standard output is closed, the exit code is the only report.
        drop(match self.json {
            true => print_json(&created),
            false => self.print_text(&created),
        });
        match created.is_complete() {
            true => ExitStatus::Done,
            false if created.has_unavailable_hsm => ExitStatus::Incomplete,
            false => ExitStatus::No,
        }
    }

    fn create(&self) -> Result<Result<Created, CreationError>, CommandError> {
        let configuration = load(&self.config)?;
        if let Some(hsm) = &self.hsm {
            self.check_name(&configuration, hsm)?;
        }
        let new = NewKey {
            label: self.label.clone(),
            id: self.id.clone(),
        };
        let health = self.hsms_with_health_key(&configuration);
        if !health.is_empty() {
            let mut inventory = open(&self.config, &configuration, &health, &self.logins);
            return Ok(Ok(inventory.create_health_keys(&new)));
        }
        let hsm = self.creating_hsm(&configuration)?;
        let AffectedHsms { all, must_have } =
            AffectedHsms::by(&configuration.key_stores, &hsm, &new);
        let mut inventory = open(&self.config, &configuration, &all, &self.logins);
        Ok(inventory.create(&hsm, &new, &must_have))
    }

    fn check_name(&self, configuration: &Configuration, hsm: &str) -> Result<(), CommandError> {
        let mut known = configuration.hsms.iter().map(|hsm| &*hsm.name);
        match known.any(|name| name == hsm) {
            true => Ok(()),
            false => {
                let known = configuration.hsms.iter().map(|hsm| &*hsm.name);
                Err(unknown("HSM", hsm, known))
            }
        }
    }

    /// Returns the names of the selected HSMs whose health key has this label.
    fn hsms_with_health_key(&self, configuration: &Configuration) -> Vec<String> {
        let all = configuration.hsms.iter();
        let with_it = all.filter(|hsm| hsm.health_key == self.label);
        let names = with_it.map(|hsm| hsm.name.to_string());
        let is_selected = |name: &String| self.hsm.as_ref().is_none_or(|hsm| hsm == name);
        names.filter(is_selected).collect()
    }

    fn creating_hsm(&self, configuration: &Configuration) -> Result<String, CommandError> {
        match (&self.hsm, configuration.hsms.as_slice()) {
            (Some(named), _) => Ok(named.clone()),
            (None, [only]) => Ok(only.name.to_string()),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|hsm| &*hsm.name).collect();
                let message = format!("--hsm is required; known HSMs are: {}", names.join(", "));
                Err(CommandError::usage(message))
            }
        }
    }

    fn print_text(&self, created: &Created) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        for new in &created.created {
            writeln!(stdout, "made on {}: {}", new.hsm, describe(&new.key))?;
        }
        if !created.also_on.is_empty() {
            writeln!(stdout, "already on {}", created.also_on.join(", "))?;
        }
        if let (Some(new), false) = (created.created.first(), created.missing_on.is_empty()) {
            writeln!(stdout, "NOT on {}", created.missing_on.join(", "))?;
            let key = name_of(&self.label, &new.key.cka_id);
            write!(stdout, "\n{}", advice(&key, &new.hsm, &created.missing_on))?;
            let check = "Then add the key to the configuration; `xks-proxy key list` checks that all HSMs have the same key.";
            writeln!(stdout, "{check}")?;
        }
        for fault in &created.faults {
            writeln!(stdout, "FAULT {fault}")?;
        }
        Ok(())
    }
}

fn print_json(created: &Created) -> io::Result<()> {
    let report = json!({ "ok": created.is_complete(), "outcome": created });
    writeln!(io::stdout(), "{report}")
}
