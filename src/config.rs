//! The configuration: the only room that knows TOML, files and the environment.
//!
//! It reads one file and everything that the file names, and builds each room's own settings, or tells **all** faults at once, each
//! with its key path, its line and what to do. Nothing is half-applied: there are settings or there are faults. It also writes what
//! configurations are made of: new private files, and the settings of another proxy in this one's words.
//!
//! # Invariants
//! - An unknown key is a fault: a misspelt limit must not silently be the default.
//! - No fault or warning quotes a secret.
//! - A file that exists is never written to.

mod audit;
mod certificate;
mod changes;
mod client_subject;
mod create;
mod document;
mod exposure;
mod files;
mod health;
mod hsm;
mod key;
mod key_store;
mod listen;
mod log;
mod migrate;
mod original;
mod outline;
mod policy;
mod public_names;
mod region;
mod report;
mod section;
mod server;
mod sources;
mod toml_text;
mod values;
mod worker;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use crate::admin::AdminSettings;
use crate::audit::AuditSettings;
use crate::connections::Exempt;
use crate::hsm::HsmSettings;
use crate::keystore::KeyStoreSettings;
use crate::logging::LogSettings;
use crate::policy::Policy;
use crate::server::{Sample, ServerIdentity, ServerSettings};
use document::Document;
use listen::Listeners;
use section::Section;

pub use certificate::UNUSABLE;
pub use changes::{Change, Changes};
pub use create::{CreateError, NewFile, create_directory, create_private};
pub use migrate::{CONFIGURATION, Migration, Notes, Origin, migrate};
pub use original::{NewVersion, Original};
pub use outline::{Outline, outline};
pub use report::{CertificateReading, CertificateRefusal, Finding, Findings};
pub use sources::Sources;
pub use toml_text::credential_table;
pub use values::hex as parse_hex;
pub use worker::settings_of;

/// Everything that a proxy needs to run.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// `[server]`.
    pub server: ServerSettings,
    /// `[admin]`, if there is one.
    pub admin: Option<AdminSettings>,
    /// `[log]`, except for the sample.
    pub log: LogSettings,
    /// `log.sample_successes`: which successful requests have a line in the access log.
    pub access_log_sample: Sample,
    /// `[audit]`, if there is one.
    pub audit: Option<AuditSettings>,
    /// `[policy]`, if there is one.
    pub policy: Option<Policy>,
    /// `[[hsm]]`.
    pub hsms: Vec<HsmSettings>,
    /// `[failover]`: how long a job may take before another HSM is tried as well.
    pub hedge_delay: Duration,
    /// `[[key_store]]`.
    pub key_stores: Vec<KeyStoreSettings>,
}

/// A configuration and what is not wrong with it but should be known.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub configuration: Configuration,
    /// Such as a secret file that others can read.
    pub warnings: Vec<Finding>,
}

/// What came of reading a configuration, and the files that it was read from: when one of them changes, it is worth reading again.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, or all of its faults.
    pub outcome: Result<Loaded, Findings>,
    /// What was found of the server's certificate.
    pub certificate: CertificateReading,
    /// The configuration file and every file that it names, as far as they were got to.
    pub sources: Sources,
}

impl Configuration {
    /// Whether connections of KMS may begin with a PROXY header, and so have a VPC endpoint id.
    pub fn receives_vpc_endpoints(&self) -> bool {
        let mut listeners = self.server.listen.iter();
        listeners.any(|one| one.requires_header)
    }

    /// The sources without a limit of their own.
    pub fn exempt_sources(&self) -> Exempt {
        let stores = self.key_stores.iter();
        let listed = stores.flat_map(|store| &store.vpc_endpoints.allowed);
        Exempt {
            shared_sources: self.server.shared_sources.clone(),
            vpc_endpoints: listed.copied().collect(),
        }
    }
}

impl Reading {
    fn of_faults(faults: Findings, sources: Sources) -> Self {
        Self {
            outcome: Err(faults),
            certificate: CertificateReading::default(),
            sources,
        }
    }
}

/// Reads the configuration in `file`, and every file that it names. Relative paths are relative to its directory.
pub fn read(file: &Path) -> Reading {
    reading(file, Sources::read, How::default())
}

/// As [`read`], for a proxy that serves with this certificate: it keeps that one unless KMS would accept the one in the files.
pub fn read_again(file: &Path, serving: &ServerIdentity) -> Reading {
    let how = How {
        serving: Some(serving.clone()),
        ..How::default()
    };
    reading(file, Sources::read, how)
}

/// As [`read`], for a command: nobody is going to read it again, and each PIN is read to check its content. `file` may also be a pipe.
pub fn read_once(file: &Path) -> Reading {
    reading(file, Sources::read_any, How::BY_A_COMMAND)
}

/// As [`read_once`], without what concerns the certificate only.
///
/// # Errors
/// All faults at once.
pub fn load(file: &Path) -> Result<Loaded, Findings> {
    read_once(file).outcome
}

/// As [`load`], with the text, for commands that print a changed part of it.
///
/// # Errors
/// All faults at once.
pub fn load_original(file: &Path) -> Result<(Loaded, Original), Findings> {
    let mut sources = Sources::default();
    let text = sources.text(file, Sources::read_any)?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let loaded = read_text(&text, directory, sources, How::BY_A_COMMAND).outcome?;
    Ok((loaded, Original::new(text.to_string())))
}

/// Reads a configuration from its text; `directory` is where relative paths start.
///
/// # Errors
/// All faults at once.
pub fn parse(text: &str, directory: &Path) -> Result<Loaded, Findings> {
    read_text(text, directory, Sources::default(), How::BY_A_COMMAND).outcome
}

/// What reading a configuration is for.
#[derive(Default)]
struct How {
    /// The identity with which a proxy serves.
    serving: Option<ServerIdentity>,
    /// Whether PINs are read. The process that serves has no access to them.
    reads_pins: bool,
}

impl How {
    const BY_A_COMMAND: Self = Self {
        serving: None,
        reads_pins: true,
    };
}

fn reading(file: &Path, read: sources::Read, how: How) -> Reading {
    let mut sources = Sources::default();
    let directory = file.parent().unwrap_or(Path::new("."));
    match sources.text(file, read) {
        Ok(text) => read_text(&text, directory, sources, how),
        Err(faults) => Reading::of_faults(faults, sources),
    }
}

fn read_text(text: &str, directory: &Path, sources: Sources, how: How) -> Reading {
    match Document::parse(text, directory, sources.clone()) {
        Ok(document) => {
            let document = document.reading_pins(how.reads_pins);
            let document = document.serving_with(how.serving);
            let configuration = whole(&document.root());
            let (sources, certificate) = (document.sources(), document.certificate());
            Reading {
                outcome: document.outcome(configuration),
                certificate,
                sources,
            }
        }
        Err(faults) => Reading::of_faults(faults, sources),
    }
}

fn whole(root: &Section<'_>) -> Option<Configuration> {
    exposure::settings(root);
    exposure::check_configuration(root);
    let health = health::settings(root);
    let mut listeners = Listeners::default();
    let server = server::settings(root, health.fleet_size, &mut listeners);
    let admin = admin(root, &mut listeners);
    let (log, access_log_sample) = log::settings(root);
    let hedge_delay = hedge_delay(root);
    let hsms = hsm::all(root, health.interval);
    let key_stores = key_store::all(root, &hsms);
    let policy = policy::settings(root);
    let audit = audit::settings(root);
    root.finish();
    let (audit, hsms, key_stores) = (audit?, hsms?, key_stores?);
    audit::check_key(root, audit.as_ref(), &hsms, &key_stores);
    audit::check_path(root, audit.as_ref(), &hsms);
    hsm::check_writable(root, &hsms);
    client_subject::check(root, &key_stores);
    let policy = policy?;
    policy::check_names(root, policy.as_ref(), &key_stores);
    let (server, admin) = (server?, admin?);
    listen::check_proxy_protocol(root, (&server, admin.as_ref()), &key_stores);
    Some(Configuration {
        server,
        admin,
        log,
        access_log_sample,
        hedge_delay,
        audit,
        policy,
        hsms,
        key_stores,
    })
}

/// Well below the deadline, well above what a healthy device takes.
const HEDGE_DELAY: Duration = Duration::from_millis(80);

fn hedge_delay(root: &Section<'_>) -> Duration {
    let Some(section) = root.section("failover") else {
        return HEDGE_DELAY;
    };
    let range = Duration::from_millis(1)..=Duration::from_secs(60);
    let delay = section
        .duration("hedge_delay", range)
        .unwrap_or(HEDGE_DELAY);
    section.finish();
    delay
}

/// None when there is a fault; `Some(None)` when there is no `[admin]` table.
fn admin(root: &Section<'_>, listeners: &mut Listeners) -> Option<Option<AdminSettings>> {
    let Some(section) = root.section("admin") else {
        return Some(None);
    };
    let listen = listeners.read(&section, "\"127.0.0.1:9180\"");
    section.finish();
    Some(Some(AdminSettings { listen: listen? }))
}

/// Remembers names that must be unique, and says where one comes again.
struct Unique(HashSet<String>);

impl Unique {
    fn new() -> Self {
        Self(HashSet::new())
    }

    /// Notes `value` of `key` in `section`; a repeated one is a fault.
    fn note(&mut self, section: &Section<'_>, key: &str, value: &str) {
        if !self.0.insert(value.to_owned()) {
            section.fault(
                key,
                format!("{value:?} is used twice; each must be of its own"),
            );
        }
    }
}

#[cfg(test)]
mod tests;
