//! The configuration of a test's proxy: `config.toml` of the contract with wide limits, and the changes of the test.

mod modules;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use self::modules::MODULE_SETTINGS;
use super::pki::{Authority, Identity, KMS_SUBJECT};
use super::{CLOSED, PAYMENTS, PAYMENTS_NEXT, RETAIL, ROOT, StoreName};
use crate::harness::dialect::Spoken;
use crate::harness::token::{HEALTH_KEY, Remote, TOKEN_LABEL, Token, example};

/// The settings that a test may change before the proxy starts.
pub struct Setup {
    /// The directory of the test.
    pub directory: PathBuf,
    /// The token.
    pub token: Token,
    /// The authority of the server certificate.
    pub authority: Authority,
    /// The authority of client certificates; active after `require_client_certificates`.
    pub client_authority: Authority,
    /// The configuration file of the proxy, if it is not the one that `write` writes.
    pub launch_with: Option<PathBuf>,
    /// The command that becomes the proxy, if it is not started directly.
    pub command: Vec<String>,
    /// Environment variables of the proxy.
    pub variables: Vec<(String, String)>,
    /// The environment variables of its modules.
    module_variables: Vec<(String, String)>,
    /// The files that its modules may write.
    writable: Vec<PathBuf>,
    tables: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    renamed: Vec<(&'static str, &'static str)>,
    more: String,
    edits: Vec<(String, String)>,
    _server: Option<Remote>,
}

impl Setup {
    /// Returns the defaults, in `directory`.
    pub fn new(directory: &Path) -> Self {
        let token = Token::with_keys(directory);
        let (server, variable) = token.server().unzip();
        let mut setup = Self {
            directory: directory.to_path_buf(),
            token,
            authority: Authority::new("Test Server CA"),
            client_authority: Authority::new("Test Client CA"),
            variables: Vec::new(),
            module_variables: Vec::new(),
            writable: Vec::new(),
            launch_with: None,
            command: Vec::new(),
            tables: BTreeMap::new(),
            renamed: Vec::new(),
            more: String::new(),
            edits: Vec::new(),
            _server: server,
        };
        let variables = setup.token.variable().into_iter().chain(variable);
        variables.for_each(|(name, value)| setup.module_variable(&name, &value));
        setup.writable(&setup.token.tokens());
        setup.defaults();
        setup.speak_the_dialect_under_test();
        setup
    }

    fn defaults(&mut self) {
        let identity = self.authority.server(rcgen::KeyPair::generate().unwrap());
        self.server_identity(&identity);
        self.set("server", "listen", "[\"127.0.0.1:0\"]");
        // KMS waits 250 ms, but a debug build on a busy machine can need longer.
        self.set("server.limits", "request_timeout", "\"10s\"");
        self.set("server.limits", "body_timeout", "\"10s\"");
        // A busy machine can also need longer for a handshake.
        self.set("server.limits", "header_timeout", "\"30s\"");
        self.set("admin", "listen", "\"127.0.0.1:0\"");
        self.set("log", "level", "\"info\"");
        self.set("log", "format", "\"json\"");
        self.set("hsm", "name", "\"hsm-a\"");
        self.set_path("hsm", "module", &self.token.module());
        if let Some(parameters) = self.token.parameters() {
            self.set("hsm", "parameters", &format!("{parameters:?}"));
        }
        self.set("hsm", "token", &format!("{{ label = \"{TOKEN_LABEL}\" }}"));
        self.set(
            "hsm",
            "pin",
            &format!("{{ file = {:?} }}", self.token.pin_file()),
        );
        self.set("hsm", "sessions", "4");
        self.set("hsm", "health_key", &format!("{HEALTH_KEY:?}"));
        for store in [&PAYMENTS, &PAYMENTS_NEXT, &RETAIL, &ROOT, &CLOSED] {
            self.write_private(store.access_key_id, store.secret);
        }
    }

    /// Sets the dialect of this run for the device of every test, also without failures.
    fn speak_the_dialect_under_test(&mut self) {
        let spoken = Spoken::under_test();
        if let Some(profile) = spoken.configured {
            self.set("hsm", "gcm_profile", &format!("{profile:?}"));
        }
        if spoken.device.is_some() {
            self.faulty_module();
        }
    }

    /// Sets a key to a TOML value. The table `hsm` is the only `[[hsm]]`.
    pub fn set(&mut self, table: &'static str, key: &'static str, value: &str) {
        self.tables
            .entry(table)
            .or_default()
            .insert(key, value.into());
    }

    /// Sets a key to a path.
    pub fn set_path(&mut self, table: &'static str, key: &'static str, path: &Path) {
        self.set(table, key, &format!("{path:?}"));
    }

    /// Removes a key, so that the proxy's default applies.
    pub fn unset(&mut self, table: &'static str, key: &'static str) {
        self.tables.entry(table).or_default().remove(key);
    }

    /// Changes the label of the configured key with this label and id, so that no store names the old label.
    pub fn rename_key(&mut self, id: &'static str, label: &'static str) {
        self.renamed.push((id, label));
    }

    /// Appends TOML at the end: keys of the last store, or more tables.
    pub fn append(&mut self, toml: &str) {
        self.more.push_str(toml);
    }

    /// Replaces a text of the finished configuration, which must contain it.
    pub fn edit(&mut self, from: &str, to: &str) {
        self.edits.push((from.into(), to.into()));
    }

    /// Adds lines to a store's table.
    pub fn in_store(&mut self, store: &StoreName, lines: &str) {
        let name = format!("name = {:?}\n", store.name);
        self.edit(&name, &format!("{name}{lines}\n"));
    }

    /// Replaces the certificate and key of the server.
    pub fn server_identity(&mut self, identity: &Identity) {
        let certificate = self.write_private("server.pem", &identity.certificate_pem);
        let key = self.write_private("server.key", &identity.key_pem);
        self.set_path("server.tls", "certificate", &certificate);
        self.set_path("server.tls", "private_key", &key);
    }

    /// Sets client authentication to this mode, for `KMS_SUBJECT`, issued by the client authority.
    pub fn client_auth(&mut self, mode: &str) {
        self.require_client_certificates();
        self.set("server.tls.client_auth", "mode", &format!("{mode:?}"));
    }

    /// Requires client certificates for `KMS_SUBJECT`, issued by the client authority, in a table without a mode.
    pub fn require_client_certificates(&mut self) {
        let ca = self.write_private("client-ca.pem", &self.client_authority.pem());
        self.set_path("server.tls.client_auth", "ca", &ca);
        self.set(
            "server.tls.client_auth",
            "subjects",
            &format!("[{KMS_SUBJECT:?}]"),
        );
    }

    /// Preloads a library of the tests into the proxy, in addition to others.
    pub fn preload(&mut self, library: &str) {
        let library = example(library).display().to_string();
        match self
            .variables
            .iter_mut()
            .find(|(name, _)| name == "LD_PRELOAD")
        {
            Some((_, libraries)) => *libraries += &format!(":{library}"),
            None => self.variables.push(("LD_PRELOAD".into(), library)),
        }
    }

    /// Writes a file that only its owner may read, as for secrets.
    pub fn write_private(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.join(name);
        write_private(&path, content);
        path
    }

    /// Writes the configuration, and returns its path.
    pub fn write(&self) -> PathBuf {
        self.write_private("config.toml", &self.toml())
    }

    /// Replaces the configuration by a new file in one rename.
    pub fn replace(&self) {
        self.replace_by(&self.toml());
    }

    /// Replaces the configuration by a prepared text in one rename.
    pub fn replace_by(&self, text: &str) {
        let new = self.write_private("config.toml.new", text);
        fs::rename(new, self.directory.join("config.toml")).unwrap();
    }

    /// Returns the configuration as text.
    pub fn toml(&self) -> String {
        let mut toml = self.unedited();
        for (from, to) in &self.edits {
            assert!(toml.contains(from), "{from:?} is not in:\n{toml}");
            toml = toml.replacen(from, to, 1);
        }
        toml
    }

    fn unedited(&self) -> String {
        let mut toml = String::new();
        for (name, table) in &self.tables {
            let head = if *name == "hsm" {
                "[[hsm]]"
            } else {
                &format!("[{name}]")
            };
            toml.push_str(&format!("{head}\n"));
            toml.extend(
                table
                    .iter()
                    .map(|(key, value)| format!("{key} = {value}\n")),
            );
            if *name == "hsm" {
                toml.push_str(MODULE_SETTINGS);
            }
        }
        let mut stores = self.stores();
        for (id, label) in &self.renamed {
            let line = format!("id = {id:?}\n");
            stores = stores.replace(&line, &format!("{line}label = {label:?}\n"));
        }
        (toml + &stores + &self.more).replace(MODULE_SETTINGS, &self.module_settings())
    }

    fn stores(&self) -> String {
        let payments = self.store(&PAYMENTS, &[&PAYMENTS, &PAYMENTS_NEXT]) + PAYMENTS_KEYS;
        let retail = self.store(&RETAIL, &[&RETAIL])
            + "[[key_store.key]]\nid = \"stock\"\ndanger_shared = true\n";
        let root = self.store(&ROOT, &[&ROOT]) + ROOT_KEYS;
        let closed = self
            .store(&CLOSED, &[&CLOSED])
            .replace("\"enabled\"", "\"disabled\"");
        format!(
            "{payments}{retail}{root}{closed}[[key_store.key]]\nid = \"stock-2\"\nlabel = \"stock\"\ndanger_shared = true\n"
        )
    }

    fn store(&self, store: &StoreName, credentials: &[&StoreName]) -> String {
        let StoreName {
            name,
            prefix,
            region,
            ..
        } = store;
        let mut toml = format!(
            "[[key_store]]\nname = {name:?}\npath_prefix = {prefix:?}\nregion = {region:?}\nstate = \"enabled\"\n"
        );
        for credential in credentials {
            let id = credential.access_key_id;
            let file = self.directory.join(id);
            let secret = format!("secret = {{ file = {file:?} }}\n");
            toml += &format!("[[key_store.credential]]\naccess_key_id = {id:?}\n{secret}");
        }
        toml
    }
}

/// Writes a file that is never readable for others, not even while it is empty.
pub fn write_private(path: &Path, content: &str) {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

const PAYMENTS_KEYS: &str = r#"
[[key_store.key]]
id = "orders"
[[key_store.key]]
id = "ledger"
label = "ledger-key"
[[key_store.key]]
id = "by-id"
cka_id = "0a0b0c0d"
[[key_store.key]]
id = "encrypt-only"
[[key_store.key]]
id = "decrypt-only"
[[key_store.key]]
id = "neither"
[[key_store.key]]
id = "aes128"
[[key_store.key]]
id = "aes192"
[[key_store.key]]
id = "ambiguous"
[[key_store.key]]
id = "absent"
[[key_store.key]]
id = "switched-off"
state = "disabled"
"#;

/// The same id as in `PAYMENTS`, but another key.
const ROOT_KEYS: &str = r#"
[[key_store.key]]
id = "orders"
label = "root-orders"
"#;
