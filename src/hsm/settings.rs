//! What the configuration says of a device.

use std::ffi::CString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

/// One `[[hsm]]` table.
#[derive(Clone, Debug)]
pub struct HsmSettings {
    /// Its name in logs, metrics and the health answer.
    pub name: Arc<str>,
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// The string that the library wants in `C_Initialize`, if any.
    pub parameters: Option<CString>,
    /// Which token of the library.
    pub token: TokenSelector,
    /// The user PIN; none for a token without a login.
    pub pin: Option<Secret>,
    /// How many owner threads, each with a session; one more session is kept for the login and the health check.
    pub sessions: usize,
    /// How the device wants its IVs.
    pub gcm_profile: GcmProfile,
    /// Whether every ciphertext is decrypted and compared with its plaintext before it is returned.
    pub verify_encryptions: bool,
    /// Label of the AES-256 key for the health check.
    pub health_key: String,
    /// How often the health check runs.
    pub health_interval: Duration,
}

impl HsmSettings {
    /// Whether `new` can only be used by a new process: its library or how that is initialised differs.
    pub fn needs_restart(&self, new: &Self) -> bool {
        self.module != new.module || self.parameters != new.parameters
    }

    /// What is another than in `former`, by the names of the configuration.
    pub fn changes_since(&self, former: &Self) -> Vec<&'static str> {
        let parts = [
            ("module", self.module != former.module),
            ("parameters", self.parameters != former.parameters),
            ("token", self.token != former.token),
            ("pin", !is_same_pin(self.pin.as_ref(), former.pin.as_ref())),
            ("sessions", self.sessions != former.sessions),
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
        let changed = parts.into_iter().filter(|(_, is_another)| *is_another);
        changed.map(|(name, _)| name).collect()
    }
}

fn is_same_pin(one: Option<&Secret>, other: Option<&Secret>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Which token: slot numbers move, labels and serials stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSelector {
    /// `CK_TOKEN_INFO.label`.
    Label(String),
    /// `CK_TOKEN_INFO.serialNumber`.
    Serial(String),
}

/// Where the IV of an encryption comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GcmProfile {
    /// By manufacturer and model, and by what passes the probe.
    Auto,
    /// We pass 12 bytes of the device's own random generator.
    CallerIv,
    /// We pass 12 zero bytes, which the device overwrites.
    IvWrittenBack,
    /// The device makes 16 bytes and appends them to its output.
    IvAppended,
    /// The device makes 12 bytes and puts them before its output (a mechanism of AWS CloudHSM's own).
    IvPrepended,
    /// The message interface of PKCS#11 3.x.
    Message,
}
