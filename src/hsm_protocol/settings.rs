//! The settings of an HSM.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub mod pin;

use pin::PinReference;

/// The largest encoding of [`Pkcs11Settings`], in bytes.
pub const MAX_ENCODED_SETTINGS: usize = 32 * 1_024;

/// One `[[hsm]]` table.
#[derive(Clone, Debug)]
pub struct HsmSettings {
    /// The name in logs, metrics and the health answer.
    pub name: Arc<str>,
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// The string that the library requires in `C_Initialize`, if any.
    pub parameters: Option<CString>,
    /// Environment variables of the worker.
    pub environment: Environment,
    /// Files and directories that the library may write.
    pub writable: Vec<PathBuf>,
    /// True if the worker runs without a sandbox.
    pub danger_no_sandbox: bool,
    /// The token of the library.
    pub token: TokenSelector,
    /// The location of the user PIN.
    pub pin: PinReference,
    /// The number of sessions for jobs. One more session is open for the login and the health check.
    pub sessions: usize,
    /// An encryption or decryption that takes longer counts as hanging.
    pub hang_timeout: Duration,
    /// Opening the token (`C_Initialize`, login, key search) counts as hanging if it takes longer.
    pub open_timeout: Duration,
    /// The GCM profile.
    pub gcm_profile: GcmProfile,
    /// True if every ciphertext is decrypted and compared with its plaintext before it is returned.
    pub verify_encryptions: bool,
    /// The label of the AES-256 key for the health check.
    pub health_key: String,
    /// The interval of the health check.
    pub health_interval: Duration,
}

impl HsmSettings {
    /// Returns the settings that differ from `former`, by their names in the configuration.
    pub fn changes_since(&self, former: &Self) -> Vec<&'static str> {
        let parts = [
            ("module", self.module != former.module),
            ("parameters", self.parameters != former.parameters),
            ("environment", self.environment != former.environment),
            ("writable", self.writable != former.writable),
            (
                "danger_no_sandbox",
                self.danger_no_sandbox != former.danger_no_sandbox,
            ),
            ("token", self.token != former.token),
            ("pin", self.pin != former.pin),
            ("sessions", self.sessions != former.sessions),
            ("hang_timeout", self.hang_timeout != former.hang_timeout),
            ("open_timeout", self.open_timeout != former.open_timeout),
            ("gcm_profile", self.gcm_profile != former.gcm_profile),
            (
                "verify_encryptions",
                self.verify_encryptions != former.verify_encryptions,
            ),
            ("health_key", self.health_key != former.health_key),
            (
                "health.interval",
                self.health_interval != former.health_interval,
            ),
        ];
        let changed = parts.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(name, _)| name).collect()
    }

    /// Returns the settings for a worker.
    pub fn for_worker(&self) -> Pkcs11Settings {
        Pkcs11Settings {
            name: self.name.to_string(),
            module: self.module.clone(),
            parameters: self.parameters.clone(),
            environment: self.environment.clone(),
            writable: self.writable.clone(),
            danger_no_sandbox: self.danger_no_sandbox,
            secrets: Vec::new(),
            token: self.token.clone(),
            pin: self.pin.clone(),
            sessions: self.sessions,
            gcm_profile: self.gcm_profile,
            verify_encryptions: self.verify_encryptions,
            health_key: self.health_key.clone(),
            health_interval: self.health_interval,
        }
    }
}

/// The settings of a worker, from one `[[hsm]]` table. Values of environment variables may be secret; the PIN is not included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Settings {
    /// The name in logs, metrics and the health answer.
    pub name: String,
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// The string that the library requires in `C_Initialize`, if any.
    pub parameters: Option<CString>,
    /// The environment variables of the worker, in addition to `PATH` and the one of `pin`.
    pub environment: Environment,
    /// Files and directories that the library may write. One that does not exist has no effect.
    pub writable: Vec<PathBuf>,
    /// True if the worker runs without a sandbox.
    pub danger_no_sandbox: bool,
    /// Files with other secrets, which the library must not read.
    pub secrets: Vec<PathBuf>,
    /// The token of the library.
    pub token: TokenSelector,
    /// The location of the user PIN.
    pub pin: PinReference,
    /// The number of sessions for jobs. One more session is open for the login and the health check.
    pub sessions: usize,
    /// The GCM profile.
    pub gcm_profile: GcmProfile,
    /// True if every ciphertext is decrypted and compared with its plaintext before it is returned.
    pub verify_encryptions: bool,
    /// The label of the AES-256 key for the health check.
    pub health_key: String,
    /// The interval of the health check.
    pub health_interval: Duration,
}

impl Pkcs11Settings {
    /// Encodes the settings. Equal settings have equal bytes.
    ///
    /// # Errors
    /// When a path is not UTF-8, or the encoding has more than `MAX_ENCODED_SETTINGS` bytes.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let bytes = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        match bytes.len() <= MAX_ENCODED_SETTINGS {
            true => Ok(bytes),
            false => Err(format!(
                "the table is too large: its encoding for a worker has {} bytes; the limit is {MAX_ENCODED_SETTINGS}",
                bytes.len()
            )),
        }
    }

    /// Decodes the output of [`Pkcs11Settings::encode`].
    ///
    /// # Errors
    /// When the bytes are not a valid encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_ENCODED_SETTINGS {
            return Err(format!("more than {MAX_ENCODED_SETTINGS} bytes"));
        }
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// Environment variables, by name. `Debug` shows only the names, because some libraries read a password from a variable.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Environment(pub BTreeMap<String, String>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Selects a token by label or serial number, because slot numbers may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSelector {
    /// `CK_TOKEN_INFO.label`.
    Label(String),
    /// `CK_TOKEN_INFO.serialNumber`.
    Serial(String),
}

/// Which party generates the IV of an encryption, and how it is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GcmProfile {
    /// Chosen by manufacturer and model, and by the probe.
    Auto,
    /// The proxy passes 12 bytes of the device's random generator.
    CallerIv,
    /// The proxy passes 12 zero bytes, which the device overwrites.
    IvWrittenBack,
    /// The device generates 16 bytes and appends them to its output.
    IvAppended,
    /// The device generates 12 bytes and returns them before its output (a vendor mechanism of AWS CloudHSM).
    IvPrepended,
    /// The message interface of PKCS#11 3.x.
    Message,
}

#[cfg(test)]
mod tests {
    use super::pin::PinFingerprint;
    use super::*;

    fn settings() -> Pkcs11Settings {
        let variables = [("SOFTHSM2_CONF", "/etc/softhsm2.conf"), ("A", "hunter2")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Pkcs11Settings {
            name: "hsm-a".into(),
            module: "/usr/lib/module.so".into(),
            parameters: Some(c"configdir='x'".into()),
            environment: Environment(variables.into()),
            writable: vec!["/var/lib/softhsm".into()],
            danger_no_sandbox: false,
            secrets: vec!["/etc/xks-proxy/other.pin".into()],
            token: TokenSelector::Label("xks".into()),
            pin: PinReference::File {
                path: "/etc/pin".into(),
                fingerprint: PinFingerprint {
                    inode: u64::MAX,
                    modified_seconds: -1,
                    ..PinFingerprint::default()
                },
            },
            sessions: 16,
            gcm_profile: GcmProfile::IvWrittenBack,
            verify_encryptions: true,
            health_key: "xks-health".into(),
            health_interval: Duration::from_millis(1_500),
        }
    }

    #[test]
    fn decoded_settings_equal_the_originals() {
        let credential = PinReference::Credential {
            path: "/run/credentials/pin".into(),
            fingerprint: PinFingerprint::default(),
        };
        let variable = PinReference::Env { name: "PIN".into() };
        for pin in [settings().pin, credential, variable, PinReference::None] {
            let settings = Pkcs11Settings { pin, ..settings() };
            let decoded = Pkcs11Settings::decode(&settings.encode().unwrap());
            assert_eq!(decoded, Ok(settings));
        }
    }

    #[test]
    fn bytes_that_are_not_settings_are_rejected() {
        let text = String::from_utf8(settings().encode().unwrap()).unwrap();
        for wrong in [
            text.replacen('{', "{\"more\":1,", 1),
            text.replace("\"inode\"", "\"node\""),
            text.replace("\"sessions\":16,", ""),
            text.replace("iv_written_back", "other"),
            format!("{text}{text}"),
            String::new(),
            " ".repeat(MAX_ENCODED_SETTINGS) + &text,
        ] {
            assert!(Pkcs11Settings::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let huge = Pkcs11Settings {
            health_key: "x".repeat(MAX_ENCODED_SETTINGS),
            ..settings()
        };
        assert!(huge.encode().unwrap_err().contains("too large"));
    }

    #[test]
    fn debug_shows_no_value_of_a_variable() {
        let shown = format!("{:?}", settings());
        assert!(shown.contains("SOFTHSM2_CONF"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("softhsm2.conf"));
    }
}
