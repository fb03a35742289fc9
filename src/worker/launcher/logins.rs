//! The record of logins, as the launcher keeps it.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};

use super::link::LauncherLink;
use crate::hsm_protocol::launch::{LoginOutcome, PinFingerprint, Serial};
use crate::hsm_protocol::{PinFingerprint as FileFingerprint, PinReference};
use crate::pkcs11::LoginRecord;
use crate::sync::poisoned;

/// The launcher's record, asked for the PIN of this worker. One login is asked for at a time.
pub(in crate::worker) struct Logins {
    launcher: Mutex<LauncherLink>,
    pin: PinFingerprint,
    was_rejected: AtomicBool,
}

impl Logins {
    /// The record for this PIN, as it is now: a file that is replaced later is another PIN.
    pub(in crate::worker) fn new(launcher: LauncherLink, pin: &PinReference) -> Self {
        Self {
            launcher: Mutex::new(launcher),
            pin: fingerprint(pin),
            was_rejected: AtomicBool::new(false),
        }
    }

    /// Returns whether the token rejected the PIN, or no login was allowed.
    pub(in crate::worker) fn was_rejected(&self) -> bool {
        self.was_rejected.load(Ordering::Relaxed)
    }
}

impl LoginRecord for Logins {
    fn begins(&self, token: &str) -> Result<(), String> {
        let launcher = self.launcher.lock().unwrap_or_else(poisoned);
        let begins = launcher.login_begins(id_of(token), self.pin);
        self.was_rejected
            .fetch_or(begins.is_err(), Ordering::Relaxed);
        begins.map_err(|refused| refused.to_string())
    }

    fn ended(&self, outcome: LoginOutcome) {
        let is_rejected = matches!(outcome, LoginOutcome::Rejected(_));
        self.was_rejected.fetch_or(is_rejected, Ordering::Relaxed);
        let launcher = self.launcher.lock().unwrap_or_else(poisoned);
        // Without the launcher this process is about to be killed.
        drop(launcher.login_ended(outcome));
    }
}

/// The place of a serial number in the record holds a hash of what tells the token from others.
fn id_of(token: &str) -> Serial {
    let mut id = [0; 16];
    let hash = Sha256::digest(token);
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    Serial(id)
}

/// Where the PIN is, and which file that is now. systemd makes the file of a credential again at each start: only its size tells one
/// credential from another. Nothing is taken from the PIN itself, which has so few possible values that a hash would give it away.
fn fingerprint(pin: &PinReference) -> PinFingerprint {
    let metadata = pin.path().and_then(|path| fs::metadata(path).ok());
    let text = match pin {
        PinReference::None => "none".to_owned(),
        PinReference::Env { name } => format!("env {name}"),
        PinReference::Credential { path, .. } => {
            format!("credential {path:?} {:?}", metadata.map(|file| file.len()))
        }
        PinReference::File { path, .. } => {
            let now = metadata.map(|file| FileFingerprint::of(&file));
            format!("file {path:?} {now:?}")
        }
    };
    PinFingerprint(Sha256::digest(text).into())
}
