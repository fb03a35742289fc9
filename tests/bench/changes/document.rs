//! A configuration of the proxy that is changed and written many times.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write as _};
use std::fs;
use std::path::PathBuf;

use crate::connection::Outcome;
use crate::scene::{Scene, Signer};
use crate::target::Caller;

/// The whole configuration.
#[derive(Clone)]
pub struct Document {
    /// The name of its file.
    pub name: String,
    /// The directory of the files that it names.
    pub scene: Scene,
    /// The sessions of the HSM.
    pub sessions: u32,
    /// `[[key_store]]`.
    pub stores: Vec<Store>,
}

/// A `[[key_store]]`. Its path prefix is made from its name.
#[derive(Clone)]
pub struct Store {
    /// The name.
    pub name: String,
    /// The state.
    pub is_enabled: bool,
    /// The quota: requests per second, and burst.
    pub quota: Option<u32>,
    /// Its `credential` entries.
    pub signers: Vec<Signer>,
    /// Its `key` entries.
    pub keys: Vec<Key>,
}

/// A `[[key_store.key]]`.
#[derive(Clone)]
pub struct Key {
    /// The id.
    pub id: String,
    /// The state.
    pub is_enabled: bool,
    /// The labels of its versions in the HSM, from version 1. With one label it is a key without versions.
    pub labels: Vec<String>,
    /// The version that encrypts.
    pub primary: usize,
}

impl Document {
    /// Returns the path of the file.
    pub fn file(&self) -> PathBuf {
        self.scene.directory.join(format!("{}.toml", self.name))
    }

    /// Writes a new file, and renames it over the old one.
    pub fn write(&self) -> Outcome<()> {
        let new = self.file().with_extension("new");
        fs::write(&new, self.to_string())?;
        Ok(fs::rename(new, self.file())?)
    }
}

impl Store {
    /// Returns an enabled store with one key, whose id is its label.
    pub fn with_one_key(name: &str, signer: &Signer, key: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_enabled: true,
            quota: None,
            signers: vec![signer.clone()],
            keys: vec![Key::new(key)],
        }
    }

    /// Returns a client for this key with the store's first credential.
    pub fn caller(&self, key: &str) -> Outcome<Caller> {
        let signer = self.signers.first().ok_or("a store without a credential")?;
        Ok(Caller {
            prefix: format!("/{}", self.name),
            key: key.to_owned(),
            credentials: signer.credentials.clone(),
        })
    }
}

impl Key {
    /// Returns an enabled key whose id is its label.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            is_enabled: true,
            labels: vec![id.to_owned()],
            primary: 1,
        }
    }
}

/// Returns `environment` and `writable` of the module, from this program's own environment.
fn module_settings() -> String {
    let is_for_modules = |name: &str| name == "SOFTHSM2_CONF" || name.starts_with("FAULTY_PKCS11_");
    let variables: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, _)| is_for_modules(name))
        .collect();
    let control = variables.get("FAULTY_PKCS11_CONTROL").cloned();
    let tokens = variables.get("SOFTHSM2_CONF").and_then(|file| {
        let text = fs::read_to_string(file).ok()?;
        let mut lines = text.lines();
        let tokens = lines.find_map(|line| line.strip_prefix("directories.tokendir = "));
        tokens.map(str::to_owned)
    });
    let writable: Vec<String> = tokens.into_iter().chain(control).collect();
    let pairs: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name} = {value:?}"))
        .collect();
    let pairs = pairs.join(", ");
    format!("environment = {{ {pairs} }}\nwritable = {writable:?}\n")
}

impl Display for Document {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (directory, module) = (self.scene.directory.display(), self.scene.module.display());
        let (token, sessions) = (&self.scene.token, self.sessions);
        let module_settings = module_settings();
        write!(
            f,
            r#"[server]
listen = ["127.0.0.1:0"]

[server.tls]
certificate = "{directory}/tls/server.pem"
private_key = "{directory}/tls/server.key"

[admin]
listen = "127.0.0.1:0"

[[hsm]]
name = "hsm"
module = "{module}"
token = {{ label = "{token}" }}
{module_settings}pin = {{ file = "{directory}/pin" }}
sessions = {sessions}
gcm_profile = "caller-iv"
health_key = "xks-health"
"#
        )?;
        self.stores.iter().try_for_each(|store| store.fmt(f))
    }
}

impl Display for Store {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (name, state) = (&self.name, state(self.is_enabled));
        write!(
            f,
            r#"
[[key_store]]
name = "{name}"
path_prefix = "/{name}"
region = "us-east-1"
state = "{state}"
"#
        )?;
        if let Some(rate) = self.quota {
            writeln!(f, "quota = {{ rate = {rate}, burst = {rate} }}")?;
        }
        for Signer { id, file, .. } in &self.signers {
            let file = file.display();
            write!(
                f,
                r#"
[[key_store.credential]]
access_key_id = "{id}"
secret = {{ file = "{file}" }}
"#
            )?;
        }
        self.keys.iter().try_for_each(|key| key.fmt(f))
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (id, state) = (&self.id, state(self.is_enabled));
        f.write_str("\n[[key_store.key]]\n")?;
        writeln!(f, "id = \"{id}\"\nstate = \"{state}\"")?;
        if let [label] = self.labels.as_slice() {
            return writeln!(f, "label = \"{label}\"");
        }
        let mut versions = String::new();
        for (label, number) in self.labels.iter().zip(1..) {
            write!(versions, "{{ version = {number}, label = \"{label}\" }}, ")?;
        }
        writeln!(f, "primary = {}\nversions = [{versions}]", self.primary)
    }
}

fn state(is_enabled: bool) -> &'static str {
    if is_enabled { "enabled" } else { "disabled" }
}
