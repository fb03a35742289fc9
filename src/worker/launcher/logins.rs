//! Permission for logins from the launcher, which keeps the record of logins.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};

use super::link::LauncherLink;
use crate::hsm_protocol::launch::{LoginOutcome, PinFingerprint, Serial};
use crate::hsm_protocol::{PinFingerprint as FileFingerprint, PinReference};
use crate::pkcs11::LoginRecord;
use crate::sync::poisoned;

/// Requests permission for logins with the PIN of this worker, one at a time.
pub(in crate::worker) struct Logins {
    launcher: Mutex<LauncherLink>,
    pin: PinFingerprint,
    was_rejected: AtomicBool,
}

impl Logins {
    /// Identifies the PIN as it is now: a PIN file that is replaced later is a different PIN.
    pub(in crate::worker) fn new(launcher: LauncherLink, pin: &PinReference) -> Self {
        Self {
            launcher: Mutex::new(launcher),
            pin: fingerprint(pin),
            was_rejected: AtomicBool::new(false),
        }
    }

    /// Returns whether the token rejected the PIN, or the launcher rejected a login.
    pub(in crate::worker) fn was_rejected(&self) -> bool {
        self.was_rejected.load(Ordering::Relaxed)
    }
}

impl LoginRecord for Logins {
    fn attempt(&self, token: &str, login: &mut dyn FnMut() -> LoginOutcome) -> Result<(), String> {
        // Locked until the end of the login: the launcher kills a worker that requests a login during another one.
        let launcher = self.launcher.lock().unwrap_or_else(poisoned);
        let begins = launcher.login_begins(id_of(token), self.pin);
        self.was_rejected
            .fetch_or(begins.is_err(), Ordering::Relaxed);
        begins.map_err(|refused| refused.to_string())?;
        let outcome = login();
        let is_rejected = matches!(outcome, LoginOutcome::Rejected(_));
        self.was_rejected.fetch_or(is_rejected, Ordering::Relaxed);
        // If the launcher has ended, this process is about to be killed.
        drop(launcher.login_ended(outcome));
        Ok(())
    }
}

/// Returns the ID of a token in the record: a hash of its description.
fn id_of(token: &str) -> Serial {
    let mut id = [0; 16];
    let hash = Sha256::digest(token);
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    Serial(id)
}

/// Returns the fingerprint of a PIN: its source, and which file that is now. systemd creates the file of a credential at each start, so only
/// its size identifies a credential. The PIN itself is not used: it has so few possible values that a hash would reveal it.
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
