//! A separate token for every test.
//!
//! A software token is a few plain files. They are made once per process, kept in memory and written for each test: a few milliseconds
//! instead of a dozen runs of `softhsm-token`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use crate::harness::metrics::eventually;
use crate::harness::product::Product;
use crate::harness::setup::write_private;
use crate::harness::trail::AUDIT_KEY;

/// The label of the token.
pub const TOKEN_LABEL: &str = "xks";
/// The label of the token of `hsm-b`, if there is one.
pub const OTHER_TOKEN: &str = "xks-b";
/// The user PIN of every test token.
pub const PIN: &str = "270831";
/// The label of the key for the deep health check.
pub const HEALTH_KEY: &str = "xks-health";

/// The keys of the template token: label, and the options of `softhsm-token key`.
const KEYS: [(&str, &[&str]); 15] = [
    (HEALTH_KEY, &[]),
    (AUDIT_KEY, &[]),
    ("orders", &[]),
    ("ledger-key", &[]),
    ("nobody-asks-for-this-label", &["--id", "0a0b0c0d"]),
    ("encrypt-only", &["--no-decrypt"]),
    ("decrypt-only", &["--no-encrypt"]),
    ("neither", &["--no-encrypt", "--no-decrypt"]),
    ("aes128", &["--bits", "128"]),
    ("aes192", &["--bits", "192"]),
    ("ambiguous", &[]),
    ("ambiguous", &["--duplicate"]),
    ("switched-off", &[]),
    ("stock", &[]),
    ("root-orders", &[]),
];

/// A token on disk, with the configuration for its module.
pub struct Token {
    /// The software of the token.
    pub product: Product,
    directory: PathBuf,
}

impl Token {
    /// Makes a token with all of `KEYS` in `directory`.
    pub fn with_keys(directory: &Path) -> Self {
        static TEMPLATE: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
        let files = TEMPLATE.get_or_init(template);
        let token = Self::empty(directory);
        for (path, content) in files {
            let path = token.tokens().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        token
    }

    /// Makes a directory for tokens without a token.
    pub fn empty(directory: &Path) -> Self {
        let token = Self {
            product: Product::under_test(),
            directory: directory.to_path_buf(),
        };
        fs::create_dir_all(token.tokens()).unwrap();
        let text = token.product.configuration(&token.tokens());
        fs::write(token.configuration(), text).unwrap();
        write_private(&token.pin_file(), PIN);
        token
    }

    /// Starts the server of the token if it is in another process. Returns the server and the environment variable for the module.
    pub fn server(&self) -> Option<(Remote, (String, String))> {
        let is_remote = self.product == Product::P11Kit;
        is_remote.then(|| {
            let remote = Remote::start(self);
            let variable = remote.variable();
            (remote, variable)
        })
    }

    /// Returns the module's PKCS#11 library.
    pub fn module(&self) -> PathBuf {
        self.product.module()
    }

    /// Returns the environment variable by which the module finds this token, if it needs one.
    pub fn variable(&self) -> Option<(String, String)> {
        let path = self.configuration().display().to_string();
        Some((self.product.variable()?.into(), path))
    }

    /// Returns the parameters for `C_Initialize`.
    pub fn parameters(&self) -> Option<String> {
        self.product.parameters(&self.tokens())
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("token.conf")
    }

    /// Returns the file with the right PIN.
    pub fn pin_file(&self) -> PathBuf {
        self.directory.join("pin")
    }

    /// Runs `softhsm-token` on this token, and returns its output.
    pub fn tool(&self, command: &str, options: &[&str]) -> String {
        self.tool_on(TOKEN_LABEL, command, options)
    }

    /// Runs `softhsm-token` on the token with this label.
    pub fn tool_on(&self, label: &str, command: &str, options: &[&str]) -> String {
        let output = self.command(label, command, options).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "softhsm-token {command} {options:?}: {complaint}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, label: &str, command: &str, options: &[&str]) -> Command {
        let mut tool = Command::new(tool());
        tool.envs(self.variable())
            .arg(command)
            .arg("--module")
            .arg(self.product.local_module())
            .args(["--token", label, "--pin-file"])
            .arg(self.pin_file())
            .args(options);
        if let Some(parameters) = self.parameters() {
            tool.args(["--parameters", &parameters]);
        }
        tool
    }

    /// Starts a program that makes and deletes this many keys per second, until it is dropped.
    pub fn churn(&self, rate: u32) -> Churn {
        let mut command = self.command(TOKEN_LABEL, "churn", &["--rate", &rate.to_string()]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "churning\n");
        Churn { child, output }
    }

    /// Makes a second token with the same label.
    pub fn twin(&self) {
        self.initialise(&["--duplicate"]);
    }

    /// Makes a token with a different label, without keys: a separate device for users of the module.
    pub fn other(&self, label: &str) {
        self.initialise_as(label, &[]);
    }

    fn initialise(&self, options: &[&str]) {
        self.initialise_as(TOKEN_LABEL, options);
    }

    fn initialise_as(&self, label: &str, options: &[&str]) {
        let is_first = label == TOKEN_LABEL && options.is_empty();
        if is_first && self.product.initialise(&self.tokens(), &self.pin_file()) {
            return;
        }
        let so_pin = self.directory.join("so-pin");
        fs::write(&so_pin, "180927").unwrap();
        let so_pin_file = ["--so-pin-file", so_pin.to_str().unwrap()];
        self.tool_on(label, "init", &[&so_pin_file, options].concat());
    }

    /// Fails the test unless the user PIN still works: the token rejects it if it is locked.
    pub fn accepts_its_pin(&self) {
        self.tool("key", &["--label", "orders"]);
    }

    /// Returns the serial number of the token.
    pub fn serial(&self) -> String {
        self.tool("serial", &[]).trim().to_owned()
    }

    /// Returns the directory with the files of the tokens.
    pub fn tokens(&self) -> PathBuf {
        self.directory.join("tokens")
    }
}

/// A program that makes and deletes keys.
pub struct Churn {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Churn {
    /// Ends the program, and returns its output.
    pub fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let mut summary = String::new();
        self.output.read_to_string(&mut summary).unwrap();
        assert!(self.child.wait().unwrap().success());
        summary
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A p11-kit server. It is killed when this value is dropped.
pub struct Remote {
    child: Child,
    socket: PathBuf,
}

impl Remote {
    /// Serves every token of the local module.
    pub fn start(token: &Token) -> Self {
        let socket = token.directory.join("p11-kit.sock");
        let child = Command::new("p11-kit")
            .envs(token.variable())
            .args(["server", "--foreground", "--provider"])
            .arg(token.product.local_module())
            .arg("--name")
            .arg(&socket)
            .arg("pkcs11:")
            .stdout(Stdio::null())
            .spawn();
        let child = child.expect("p11-kit is missing: install the package p11-kit");
        eventually("p11-kit's socket", || socket.exists().then_some(()));
        Self { child, socket }
    }

    /// Returns the environment variable by which p11-kit's client finds the server.
    pub fn variable(&self) -> (String, String) {
        let address = format!("unix:path={}", self.socket.display());
        ("P11_KIT_SERVER_ADDRESS".to_owned(), address)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns an example of this package, next to the proxy: `cargo test` builds examples, `cargo test --test proxy` does not.
pub fn example(name: &str) -> PathBuf {
    let proxy = Path::new(env!("CARGO_BIN_EXE_xks-proxy"));
    let path = proxy.parent().unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --examples` first",
        path.display()
    );
    path
}

fn tool() -> PathBuf {
    example("softhsm-token")
}

fn template() -> Vec<(PathBuf, Vec<u8>)> {
    let directory = tempfile::tempdir().unwrap();
    let token = Token::empty(directory.path());
    token.initialise(&[]);
    for (label, options) in KEYS {
        token.tool("key", &[&["--label", label], options].concat());
    }
    files_below(&token.tokens())
}

fn files_below(tokens: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut files, mut unread) = (Vec::new(), vec![tokens.to_path_buf()]);
    while let Some(directory) = unread.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                unread.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                files.push((path.strip_prefix(tokens).unwrap().to_path_buf(), content));
            }
        }
    }
    files
}
