//! The tokens that the suite can run on. `XKS_TEST_TOKEN` is `softhsm` (the default), `kryoptic`, `nss`, or `p11-kit`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::token::TOKEN_LABEL;

/// A software token: its module, and the configuration of its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// SoftHSM2, as the distribution ships it.
    SoftHsm,
    /// Kryoptic, as `tests/kryoptic` builds it.
    Kryoptic,
    /// NSS softoken, as the distribution ships it.
    Nss,
    /// SoftHSM2 in another process, through p11-kit's client.
    P11Kit,
}

impl Product {
    /// Returns the token of this run.
    pub fn under_test() -> Self {
        match env::var("XKS_TEST_TOKEN").as_deref() {
            Err(env::VarError::NotPresent) | Ok("softhsm") => Self::SoftHsm,
            Ok("kryoptic") => Self::Kryoptic,
            Ok("nss") => Self::Nss,
            Ok("p11-kit") => Self::P11Kit,
            other => panic!("XKS_TEST_TOKEN is softhsm, kryoptic, nss or p11-kit, not {other:?}"),
        }
    }

    /// Returns its name in the proxy: a part of its manufacturer's or its model's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SoftHsm | Self::P11Kit => "SoftHSM",
            Self::Kryoptic => "Kryoptic",
            Self::Nss => "Mozilla Foundation",
        }
    }

    /// Returns whether it has the message interface of PKCS#11 3.x.
    pub fn has_messages(self) -> bool {
        matches!(self, Self::Kryoptic | Self::Nss)
    }

    /// Returns the PKCS#11 library that the proxy loads.
    pub fn module(self) -> PathBuf {
        match self {
            Self::SoftHsm => softhsm(),
            Self::Kryoptic => kryoptic(),
            Self::Nss => nss(),
            Self::P11Kit => p11_kit(),
        }
    }

    /// Returns the PKCS#11 library that has the token in this process.
    pub fn local_module(self) -> PathBuf {
        match self {
            Self::P11Kit => softhsm(),
            other => other.module(),
        }
    }

    /// Returns the environment variable that names its configuration file. NSS has none.
    pub fn variable(self) -> Option<&'static str> {
        match self {
            Self::SoftHsm | Self::P11Kit => Some("SOFTHSM2_CONF"),
            Self::Kryoptic => Some("KRYOPTIC_CONF"),
            Self::Nss => None,
        }
    }

    /// Returns the parameters of `C_Initialize` for a token in this directory.
    pub fn parameters(self, tokens: &Path) -> Option<String> {
        let directory = tokens.display();
        (self == Self::Nss)
            .then(|| format!("configdir='sql:{directory}' dbTokenDescription='{TOKEN_LABEL}'"))
    }

    /// Makes an empty token with this PIN, if that is not done through PKCS#11.
    pub fn initialise(self, tokens: &Path, pin_file: &Path) -> bool {
        if self != Self::Nss {
            return false;
        }
        let database = format!("sql:{}", tokens.display());
        let made = Command::new("certutil")
            .args(["-N", "-d", &database, "-f"])
            .arg(pin_file)
            .status();
        let made = made.expect("certutil is missing: install the package libnss3-tools");
        assert!(made.success());
        true
    }

    /// Returns a configuration with all tokens in this directory, and a slot for one more.
    pub fn configuration(self, tokens: &Path) -> String {
        match self {
            Self::SoftHsm | Self::P11Kit => format!(
                "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                tokens.display()
            ),
            Self::Kryoptic => [0, 1]
                .map(|slot| {
                    let file = tokens.join(format!("{slot}.sql"));
                    format!("[[slots]]\nslot = {slot}\ndbtype = \"sqlite\"\ndbargs = {file:?}\n")
                })
                .concat(),
            Self::Nss => String::new(),
        }
    }
}

/// Returns SoftHSM's library in the directory of the distribution.
fn softhsm() -> PathBuf {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
    ];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("SoftHSM is missing: run tests/run, or install the package softhsm2")
}

/// Returns NSS softoken's library in the directory of the distribution.
fn nss() -> PathBuf {
    let places = [
        "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
        "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
        "/usr/lib64/libsoftokn3.so",
    ];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("NSS softoken is missing: run tests/matrix, or install the package libnss3")
}

/// Returns p11-kit's client in the directory of the distribution. `XKS_TEST_P11_KIT` names another one.
fn p11_kit() -> PathBuf {
    let named = env::var_os("XKS_TEST_P11_KIT").map(PathBuf::from);
    let places = [
        "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
        "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
        "/usr/lib64/pkcs11/p11-kit-client.so",
    ];
    let places = named.into_iter().chain(places.map(PathBuf::from));
    let found = places.into_iter().find(|path| path.exists());
    found.expect("p11-kit is missing: run tests/matrix, or install the package p11-kit-modules")
}

/// Returns Kryoptic's library, which has a separate directory next to the proxy's build.
fn kryoptic() -> PathBuf {
    let proxy = Path::new(env!("CARGO_BIN_EXE_xks-proxy"));
    let target = proxy.ancestors().nth(2).unwrap();
    let path = target.join("kryoptic/debug/libkryoptic.so");
    assert!(
        path.exists(),
        "{} is missing: run tests/run, or see tests/README.md",
        path.display()
    );
    path
}
