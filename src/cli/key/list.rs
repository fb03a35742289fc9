//! `xks-proxy key list`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::{load, open, store};
use super::table;
use crate::cli::input::hsms::LoginOptions;
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::config::Configuration;
use crate::inventory::{Encryptions, Examination};
use crate::keystore::KeyStoreSettings;

/// List the keys of the configuration as the HSMs have them.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy key list --config /etc/xks-proxy/config.toml --store payments\n\n\
    One line per key version and HSM. KMS: whether KMS accepts the key (AES-256, ENCRYPT and DECRYPT, enabled) and the HSM \
    encrypts and decrypts with it; an older version must decrypt. PROTECTION in capitals: the value of the key can leave \
    the HSM. SAME KEY: whether another HSM has decrypted what the first one encrypted. Each key is used once or twice. \
    ENCRYPTIONS: since the start of the proxy that runs here, from admin.listen.\n\n\
    Exit codes: 0 every version is where it should be, 1 a check failed (the output names it), 2 wrong usage, 78 bad \
    configuration."
)]
pub(in crate::cli) struct List {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only this key store.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Print one JSON object instead of columns.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logins: LoginOptions,
}

impl List {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let examination = match self.examine() {
            Ok(examination) => examination,
            Err(refusal) => return refusal.report(),
        };
        let faults = examination.all_errors();
        // A closed output changes nothing about the exit code.
        drop(match self.json {
            true => {
                let report = json!({ "ok": faults.is_empty(), "hsms": examination.hsms, "keys": examination.keys, "faults": faults });
                writeln!(io::stdout(), "{report}")
            }
            false => print_text(&examination, &faults),
        });
        match faults.is_empty() {
            true => ExitStatus::Done,
            false => ExitStatus::No,
        }
    }

    fn examine(&self) -> Result<Examination, CommandError> {
        let configuration = load(&self.config)?;
        let stores: Vec<&KeyStoreSettings> = match &self.store {
            Some(name) => vec![store(&configuration, name)?],
            None => configuration.key_stores.iter().collect(),
        };
        let names: Vec<String> = stores.iter().flat_map(|store| store.hsms.clone()).collect();
        let inventory = open(&self.config, &configuration, &names, &self.logins);
        let mut examination = inventory.examine(stores).without_health_keys();
        count(&mut examination, &configuration);
        Ok(examination)
    }
}

fn count(examination: &mut Examination, configuration: &Configuration) {
    let admin = configuration.admin.as_ref();
    let mut listeners = admin.iter().flat_map(|admin| &admin.listen);
    let reachable = listeners.find(|one| !one.requires_header);
    let Some(counts) = reachable.and_then(|one| Encryptions::read(one.address)) else {
        return;
    };
    for key in &mut examination.keys {
        key.encryptions = counts.of_version(&key.store, &key.key, key.version);
    }
}

fn print_text(examination: &Examination, faults: &[String]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(table::of_versions(&examination.keys).as_bytes())?;
    if !(faults.is_empty() && examination.all_remarks().is_empty()) {
        writeln!(stdout)?;
    }
    for fault in faults {
        writeln!(stdout, "FAULT {fault}")?;
    }
    for remark in examination.all_remarks() {
        writeln!(stdout, "WARNING {remark}")?;
    }
    Ok(())
}
