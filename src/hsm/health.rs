//! The deep check: a real encryption and decryption with a key that KMS never uses.
//!
//! The same known-good ciphertext settles who is to blame when a device answers a decryption with a code that may mean either
//! "the tag is wrong" or "I am broken".

use super::ffi::Session;
use super::gcm::Gcm;
use super::history::{History, KeyHistory};
use super::keys::{FindError, KeyEntry, KeyTable};
use super::token::OpenError;
use crate::ekm::{KeyKind, KeySelector, Sealed};

/// What is encrypted in a check. Not a secret.
pub(super) const PLAINTEXT: &[u8] = b"xks-proxy deep health check 0001";

/// What is bound to it.
pub(super) const AAD: &[u8] = b"\x00\x00\x00";

/// What a check found, when the device answered as it should.
#[derive(Debug)]
pub(super) enum Checked {
    /// All is well; here is a ciphertext that this device must be able to decrypt.
    Works(KnownGood),
    /// The health key is missing or unfit: the device serves, but nobody can tell how well.
    KeyUnfit(String),
}

/// A ciphertext that is known to be good.
#[derive(Debug)]
pub(super) struct KnownGood {
    key: KeyEntry,
    sealed: Sealed,
}

/// One session's view of the device: what a check needs.
pub(super) struct Checker<'a> {
    pub session: &'a Session,
    pub gcm: &'a mut Gcm,
}

impl Checker<'_> {
    /// The check at opening: two encryptions give two IVs, each decrypts, a flipped tag does not. A device that fails it must
    /// not serve.
    pub(super) fn probe(&mut self, keys: &KeyTable, label: &str) -> Result<Checked, OpenError> {
        let key = match self.health_key(keys, label)? {
            Ok(key) => key,
            Err(unfit) => return Ok(Checked::KeyUnfit(unfit)),
        };
        let first = self.round_trip(&key, None)?;
        let second = self.round_trip(&key, None)?;
        if first.iv == second.iv {
            return Err(OpenError::ProbeFailed("two encryptions used the same IV"));
        }
        let mut flipped = joined(&first);
        if let Some(byte) = flipped.last_mut() {
            *byte ^= 1;
        }
        let opened = self
            .gcm
            .decrypt(self.session, key.handle, &first.iv, AAD, &flipped);
        if opened.is_ok() {
            return Err(OpenError::ProbeFailed(
                "a ciphertext with a wrong tag was decrypted",
            ));
        }
        let sealed = self.round_trip(&key, None)?;
        Ok(Checked::Works(KnownGood { key, sealed }))
    }

    /// The recurring check: one encryption, one decryption. The IV must be new in the history of the device.
    pub(super) fn check(
        &mut self,
        keys: &KeyTable,
        label: &str,
        history: &History,
    ) -> Result<Checked, OpenError> {
        match self.health_key(keys, label)? {
            Ok(key) => {
                let selector = KeySelector::Label(label.to_owned());
                let sealed = self.round_trip(&key, Some(history.of(&selector)))?;
                Ok(Checked::Works(KnownGood { key, sealed }))
            }
            Err(unfit) => Ok(Checked::KeyUnfit(unfit)),
        }
    }

    /// Whether the device decrypts what is known to be good; without such, what it encrypts now under `key`.
    pub(super) fn device_decrypts(&mut self, known: Option<&KnownGood>, key: &KeyEntry) -> bool {
        match known {
            Some(KnownGood { key, sealed }) => self.opens(key, sealed),
            None => self.round_trip(key, None).is_ok(),
        }
    }

    /// Whether the device still decrypts what is known to be good.
    pub(super) fn still_works(&self, known: &KnownGood) -> bool {
        self.opens(&known.key, &known.sealed)
    }

    /// Whether the device encrypts, under the health key or, without one, under `key`.
    pub(super) fn device_encrypts(&mut self, known: Option<&KnownGood>, key: &KeyEntry) -> bool {
        self.round_trip(known.map_or(key, |known| &known.key), None)
            .is_ok()
    }

    fn health_key(
        &self,
        keys: &KeyTable,
        label: &str,
    ) -> Result<Result<KeyEntry, String>, OpenError> {
        let selector = KeySelector::Label(label.to_owned());
        let create =
            format!("create an AES-256 key labelled {label:?} that may encrypt and decrypt");
        let entry = match keys.find(self.session, &selector) {
            Ok(entry) => entry,
            Err(FindError::Absent) => return Ok(Err(format!("there is no health key: {create}"))),
            Err(FindError::Ambiguous) => {
                return Ok(Err(format!(
                    "several keys are labelled {label:?}: keep one"
                )));
            }
            Err(FindError::Unreadable(error)) => {
                return Ok(Err(format!(
                    "the health key cannot be read ({error}): {create}"
                )));
            }
            Err(FindError::Call(error)) => return Err(error.into()),
        };
        // The handle may be stale, the key changed: what counts is what the device says now.
        let entry = match keys.read_again(self.session, &selector, entry.handle) {
            Ok(entry) => entry,
            Err(_) => match keys.find_again(self.session, &selector, entry.handle) {
                Ok(entry) => entry,
                Err(FindError::Call(error)) => return Err(error.into()),
                Err(FindError::Absent | FindError::Ambiguous | FindError::Unreadable(_)) => {
                    return Ok(Err(format!("the health key is gone: {create}")));
                }
            },
        };
        let usage = entry.attributes.usage;
        let fit = entry.attributes.kind == KeyKind::Aes(256) && usage.encrypt && usage.decrypt;
        Ok(match fit {
            true => Ok(entry),
            false => Err(format!("the health key is unfit: {create}")),
        })
    }

    fn round_trip(
        &mut self,
        key: &KeyEntry,
        history: Option<KeyHistory<'_>>,
    ) -> Result<Sealed, OpenError> {
        let sealed = self
            .gcm
            .encrypt(self.session, key.handle, history, AAD, PLAINTEXT)?;
        match self.opens(key, &sealed) {
            true => Ok(sealed),
            false => Err(OpenError::ProbeFailed(
                "it does not decrypt what it has encrypted",
            )),
        }
    }

    fn opens(&self, key: &KeyEntry, sealed: &Sealed) -> bool {
        let joined = joined(sealed);
        let opened = self
            .gcm
            .decrypt(self.session, key.handle, &sealed.iv, AAD, &joined);
        opened.is_ok_and(|plaintext| plaintext.expose() == PLAINTEXT)
    }
}

/// Ciphertext with the tag behind it.
pub(super) fn joined(sealed: &Sealed) -> Vec<u8> {
    [&sealed.ciphertext[..], &sealed.tag].concat()
}
