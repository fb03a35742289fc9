//! A SoftHSM token of its own for every test.
//!
//! A token of SoftHSM is a directory of plain files, so it is made once per process, kept in memory and written out for each
//! test: a few milliseconds instead of a dozen runs of `softhsm-token`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The label of the token, its PIN and where the keys are: `KEYS`.
pub const TOKEN_LABEL: &str = "xks";
/// The user PIN of every test token.
pub const PIN: &str = "270831";
/// The label of the key for the deep health check.
pub const HEALTH_KEY: &str = "xks-health";

/// What the template token holds: label, and the options of `softhsm-token key`.
const KEYS: [(&str, &[&str]); 14] = [
    (HEALTH_KEY, &[]),
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

/// A token on disk, with the configuration that SoftHSM needs to find it.
pub struct Token {
    directory: PathBuf,
}

impl Token {
    /// A token with all of `KEYS`, in `directory`.
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

    /// A place for tokens with none in it.
    pub fn empty(directory: &Path) -> Self {
        let token = Self {
            directory: directory.to_path_buf(),
        };
        fs::create_dir_all(token.tokens()).unwrap();
        let tokens = token.tokens();
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        fs::write(token.configuration(), text).unwrap();
        fs::write(token.pin_file(), PIN).unwrap();
        token
    }

    /// The file for `SOFTHSM2_CONF`.
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("softhsm2.conf")
    }

    /// The file with the right PIN.
    pub fn pin_file(&self) -> PathBuf {
        self.directory.join("pin")
    }

    /// Runs `softhsm-token` on this token.
    pub fn tool(&self, command: &str, options: &[&str]) {
        let output = Command::new(tool())
            .env("SOFTHSM2_CONF", self.configuration())
            .arg(command)
            .arg("--module")
            .arg(softhsm())
            .args(["--token", TOKEN_LABEL, "--pin-file"])
            .arg(self.pin_file())
            .args(options)
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "softhsm-token {command} {options:?}: {complaint}"
        );
    }

    /// Whether the user PIN still opens the token: a locked one would refuse.
    pub fn accepts_its_pin(&self) {
        self.tool("key", &["--label", "orders"]);
    }

    /// The serial number of the token: the last half of its directory's name.
    pub fn serial(&self) -> String {
        let token = fs::read_dir(self.tokens())
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        let name = token.file_name().into_string().unwrap().replace('-', "");
        name[name.len() - 16..].to_owned()
    }

    fn tokens(&self) -> PathBuf {
        self.directory.join("tokens")
    }
}

/// SoftHSM's PKCS#11 library, where distributions put it.
pub fn softhsm() -> PathBuf {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
    ];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("SoftHSM is missing: run tests/run, or install the package softhsm2")
}

/// An example of this package, built beside the proxy: `cargo test` builds examples, `cargo test --test proxy` does not.
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
    let so_pin = directory.path().join("so-pin");
    fs::write(&so_pin, "180927").unwrap();
    token.tool("init", &["--so-pin-file", so_pin.to_str().unwrap()]);
    for (label, options) in KEYS {
        token.tool("key", &[&["--label", label], options].concat());
    }
    files_below(&token.tokens())
}

fn files_below(tokens: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for token in fs::read_dir(tokens).unwrap() {
        for file in fs::read_dir(token.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let content = fs::read(&path).unwrap();
            files.push((path.strip_prefix(tokens).unwrap().to_path_buf(), content));
        }
    }
    files
}
