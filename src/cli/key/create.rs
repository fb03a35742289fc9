//! `xks-proxy key create`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{advice, in_words, load, name_of, open, unknown};
use crate::cli::exit::{ExitStatus, Refusal};
use crate::cli::hsms::LoginOptions;
use crate::config::{self, Configuration};
use crate::hsm_protocol::NewKey;
use crate::inventory::{AffectedHsms, Created};

/// Make an AES-256 key in an HSM: sensitive, not extractable, for encryption and decryption only.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy key create --config /etc/xks-proxy/config.toml --hsm hsm-a --label orders\n  \
    xks-proxy key create --config /etc/xks-proxy/config.toml --label xks-health   # on every HSM that has no health key\n\n\
    A label or id that is taken, on this HSM or on another one of its key stores, is refused. Afterwards the other HSMs \
    are asked whether they have the key, too: some makers' HSMs share keys, others must be given them with the maker's \
    tool. A health key needs no sharing, so each HSM gets its own.\n\n\
    Exit codes: 0 made, and on every HSM of the key stores concerned; 1 refused, or not on every HSM; 2 wrong usage, \
    78 bad configuration."
)]
pub(in crate::cli) struct Create {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The `[[hsm]]` that makes it; may be left out when there is one only, or for a health key.
    #[arg(long, value_name = "NAME")]
    hsm: Option<String>,
    /// CKA_LABEL of the key.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    label: String,
    /// CKA_ID of the key; 16 random bytes, if it is not given.
    #[arg(long, value_name = "HEX", value_parser = config::parse_hex)]
    id: Option<KeyIdentifier>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logins: LoginOptions,
}

/// CKA_ID. As an alias, because clap takes a `Vec` for an option that may be repeated.
type KeyIdentifier = Vec<u8>;

impl Create {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let created = match self.create() {
            Ok(created) => created,
            Err(refusal) => return refusal.tell(),
        };
        // A closed output changes nothing about the exit code.
        drop(match self.json {
            true => print_json(&created),
            false => self.print_text(&created),
        });
        match created.is_complete() {
            true => ExitStatus::Done,
            false => ExitStatus::No,
        }
    }

    fn create(&self) -> Result<Created, Refusal> {
        let configuration = load(&self.config)?;
        if let Some(hsm) = &self.hsm {
            self.check_name(&configuration, hsm)?;
        }
        let new = NewKey {
            label: self.label.clone(),
            id: self.id.clone(),
        };
        let health = self.health_places(&configuration);
        if !health.is_empty() {
            let mut inventory = open(&self.config, &configuration, &health, &self.logins);
            return Ok(inventory.create_health_keys(&new));
        }
        let hsm = self.place(&configuration)?;
        let AffectedHsms { all, must_have } =
            AffectedHsms::by(&configuration.key_stores, &hsm, &new);
        let created =
            open(&self.config, &configuration, &all, &self.logins).create(&hsm, &new, &must_have);
        created.map_err(|reason| Refusal::new(ExitStatus::No, reason))
    }

    fn check_name(&self, configuration: &Configuration, hsm: &str) -> Result<(), Refusal> {
        let mut known = configuration.hsms.iter().map(|hsm| &*hsm.name);
        match known.any(|name| name == hsm) {
            true => Ok(()),
            false => {
                let known = configuration.hsms.iter().map(|hsm| &*hsm.name);
                Err(unknown("HSM", hsm, known))
            }
        }
    }

    /// The HSMs whose health key has this label, as far as they are meant.
    fn health_places(&self, configuration: &Configuration) -> Vec<String> {
        let all = configuration.hsms.iter();
        let with_it = all.filter(|hsm| hsm.health_key == self.label);
        let names = with_it.map(|hsm| hsm.name.to_string());
        let is_meant = |name: &String| self.hsm.as_ref().is_none_or(|meant| meant == name);
        names.filter(is_meant).collect()
    }

    fn place(&self, configuration: &Configuration) -> Result<String, Refusal> {
        match (&self.hsm, configuration.hsms.as_slice()) {
            (Some(named), _) => Ok(named.clone()),
            (None, [only]) => Ok(only.name.to_string()),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|hsm| &*hsm.name).collect();
                let message = format!("say with --hsm which of {} makes it", names.join(", "));
                Err(Refusal::usage(message))
            }
        }
    }

    fn print_text(&self, created: &Created) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        for new in &created.created {
            writeln!(stdout, "made on {}: {}", new.hsm, in_words(&new.key))?;
        }
        if !created.also_on.is_empty() {
            writeln!(stdout, "already on {}", created.also_on.join(", "))?;
        }
        if let (Some(new), false) = (created.created.first(), created.missing_on.is_empty()) {
            writeln!(stdout, "NOT on {}", created.missing_on.join(", "))?;
            let key = name_of(&self.label, &new.key.cka_id);
            write!(stdout, "\n{}", advice(&key, &new.hsm, &created.missing_on))?;
            let check = "Then put it into the configuration; `xks-proxy key list` says whether all have the same key.";
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
