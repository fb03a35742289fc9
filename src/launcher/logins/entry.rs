//! One entry of the record: a PIN at a token.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hsm_protocol::launch::{HsmName, LoginOutcome, PinFingerprint, Serial, SettingsBytes};

/// The most logins with one PIN at one token that may end without a report.
const MAX_UNREPORTED: u8 = 2;

/// The most settings that an entry contains.
const MAX_SETTINGS: usize = 64;

/// The requester of a login: an HSM with its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::launcher) struct Requester {
    hsm: String,
    settings: [u8; 16],
}

impl Requester {
    /// Creates the requester for an HSM with these settings.
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

/// The logins with one PIN at one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::launcher) struct Entry {
    serial: [u8; 16],
    pin: [u8; 32],
    /// The number of permissions without a report. Each may have been an attempt.
    unreported: u8,
    /// The return value with which the token rejected the PIN.
    rejected: Option<u32>,
    /// The requesters whose attempt was permitted or rejected.
    seen: Vec<Requester>,
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
    pub(super) fn is_of(&self, requester: &Requester) -> bool {
        self.seen
            .first()
            .is_some_and(|seen| seen.hsm == requester.hsm)
    }

    /// Counts a permission. Returns whether it is the first one for these settings.
    ///
    /// # Errors
    /// Why no permission is given.
    pub(super) fn begin(&mut self, requester: &Requester) -> Result<bool, String> {
        let is_first = !self.seen.contains(requester);
        let is_known = self.seen.iter().any(|seen| seen.hsm == requester.hsm);
        let has_capacity = self.seen.len() < MAX_SETTINGS;
        let blocked = self.blocked();
        if is_first && has_capacity {
            self.seen.push(requester.clone());
        }
        match blocked {
            // The settings of an HSM in the entry have changed.
            Some(_) if is_first && is_known && has_capacity => {}
            Some(reason) => return Err(reason),
            None => {}
        }
        self.unreported = self.unreported.saturating_add(1);
        Ok(is_first && has_capacity)
    }

    /// Records how the login that [`Self::begin`] permitted ended.
    pub(super) fn end(&mut self, requester: &Requester, is_first: bool, outcome: LoginOutcome) {
        match outcome {
            LoginOutcome::LoggedIn => self.clear(),
            LoginOutcome::Rejected(code) => self.reject(code),
            LoginOutcome::Other => self.withdraw(requester, is_first),
        }
    }

    /// Records that the token accepted the PIN.
    fn clear(&mut self) {
        self.unreported = 0;
        self.rejected = None;
    }

    /// Records that the token rejected the PIN.
    fn reject(&mut self, code: u32) {
        self.unreported = self.unreported.saturating_sub(1);
        self.rejected = Some(code);
    }

    /// Removes a permission: the PIN was not the reason of the failure.
    fn withdraw(&mut self, requester: &Requester, is_first: bool) {
        self.unreported = self.unreported.saturating_sub(1);
        if is_first {
            self.seen.retain(|seen| seen != requester);
        }
    }

    /// Returns whether the entry has no information and can be removed.
    pub(super) fn is_empty(&self) -> bool {
        self.unreported == 0 && self.rejected.is_none()
    }

    fn blocked(&self) -> Option<String> {
        const ACTION: &str =
            "no worker logs in until the PIN file or the settings of the HSM change";
        match (self.rejected, self.unreported) {
            (Some(code), _) => Some(format!(
                "the token rejected this PIN with return value 0x{code:x}; {ACTION}"
            )),
            (None, MAX_UNREPORTED..) => Some(format!(
                "{MAX_UNREPORTED} workers ended during a login with this PIN, which may have used up attempts; {ACTION}"
            )),
            (None, _) => None,
        }
    }
}
