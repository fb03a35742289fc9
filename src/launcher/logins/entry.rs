//! One entry of the record: a PIN at a token.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hsm_protocol::launch::{HsmName, LoginOutcome, PinFingerprint, Serial, SettingsBytes};

/// Most logins of one PIN at one token that may have ended without a report.
const MAX_UNREPORTED: u8 = 2;

/// Most different settings that an entry remembers.
const MAX_SETTINGS: usize = 64;

/// Who wants to log in: an HSM with these settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::launcher) struct Asker {
    hsm: String,
    settings: [u8; 16],
}

impl Asker {
    /// The HSM of this name with these settings.
    pub(in crate::launcher) fn new(hsm: &HsmName, settings: &SettingsBytes) -> Self {
        let mut short = [0; 16];
        let hash = Sha256::digest(settings.as_bytes());
        short.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self {
            hsm: hsm.as_str().to_owned(),
            settings: short,
        }
    }
}

/// What is known about logins with one PIN at one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::launcher) struct Entry {
    serial: [u8; 16],
    pin: [u8; 32],
    /// Permissions without a report: each may have been an attempt.
    unreported: u8,
    /// The return value with which the token rejected the PIN.
    rejected: Option<u32>,
    /// Who has had an attempt, or has been refused one.
    seen: Vec<Asker>,
}

impl Entry {
    pub(super) fn new((serial, pin): (Serial, PinFingerprint)) -> Self {
        Self {
            serial: serial.0,
            pin: pin.0,
            unreported: 0,
            rejected: None,
            seen: Vec::new(),
        }
    }

    pub(super) fn key(&self) -> (Serial, PinFingerprint) {
        (Serial(self.serial), PinFingerprint(self.pin))
    }

    /// Returns whether this HSM caused the entry.
    pub(super) fn is_of(&self, asker: &Asker) -> bool {
        self.seen.first().is_some_and(|seen| seen.hsm == asker.hsm)
    }

    /// Counts a permission, and returns whether it is the first one of these settings.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn begin(&mut self, asker: &Asker) -> Result<bool, String> {
        let is_first = !self.seen.contains(asker);
        let is_known = self.seen.iter().any(|seen| seen.hsm == asker.hsm);
        let has_room = self.seen.len() < MAX_SETTINGS;
        let blocked = self.blocked();
        if is_first && has_room {
            self.seen.push(asker.clone());
        }
        match blocked {
            // The settings of an HSM that knew it have changed.
            Some(_) if is_first && is_known && has_room => {}
            Some(reason) => return Err(reason),
            None => {}
        }
        self.unreported = self.unreported.saturating_add(1);
        Ok(is_first && has_room)
    }

    /// The login that [`Self::begin`] permitted ended like this.
    pub(super) fn end(&mut self, asker: &Asker, is_first: bool, outcome: LoginOutcome) {
        match outcome {
            LoginOutcome::LoggedIn => self.clear(),
            LoginOutcome::Rejected(code) => self.reject(code),
            LoginOutcome::Other => self.withdraw(asker, is_first),
        }
    }

    /// The token accepted the PIN.
    fn clear(&mut self) {
        self.unreported = 0;
        self.rejected = None;
    }

    /// The token rejected the PIN.
    fn reject(&mut self, code: u32) {
        self.unreported = self.unreported.saturating_sub(1);
        self.rejected = Some(code);
    }

    /// The call failed for a reason that has nothing to do with the PIN.
    fn withdraw(&mut self, asker: &Asker, is_first: bool) {
        self.unreported = self.unreported.saturating_sub(1);
        if is_first {
            self.seen.retain(|seen| seen != asker);
        }
    }

    /// Returns whether an entry like this means the same as none.
    pub(super) fn says_nothing(&self) -> bool {
        self.unreported == 0 && self.rejected.is_none()
    }

    fn blocked(&self) -> Option<String> {
        const REMEDY: &str =
            "no worker logs in until the PIN file, or the settings of the HSM, change";
        match (self.rejected, self.unreported) {
            (Some(code), _) => Some(format!(
                "the token rejected this PIN with return value 0x{code:x}; {REMEDY}"
            )),
            (None, MAX_UNREPORTED..) => Some(format!(
                "{MAX_UNREPORTED} workers ended during a login with this PIN, which may have used up attempts; {REMEDY}"
            )),
            (None, _) => None,
        }
    }
}
