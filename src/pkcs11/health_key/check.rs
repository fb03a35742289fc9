//! The deep health check: an encryption and a decryption with a key that KMS never uses.
//!
//! Sessions also use the health key to attribute errors: see `sessions/device_session/attribution.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cryptoki::object::ObjectHandle;
use cryptoki_sys::CK_OBJECT_HANDLE;

use crate::ekm::{Encrypted, KeyKind, KeySelector};
use crate::ekm::{History, KeyHistory};
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::keys::table::{FindError, KeyEntry, KeyTable};
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::token::open_error::OpenError;
use crate::secret::SecretBytes;
use crate::sync::poisoned;

/// The plaintext of a check. It is not a secret.
pub(in crate::pkcs11) const PLAINTEXT: &[u8] = b"xks-proxy deep health check 0001";

/// The AAD of a check.
pub(in crate::pkcs11) const AAD: &[u8] = b"\x00\x00\x00";

/// The result of a check without errors.
#[derive(Debug)]
pub(in crate::pkcs11) enum Checked {
    /// The check succeeded. The device must be able to decrypt this ciphertext.
    Works(KnownGood),
    /// The health key is missing or unsuitable. The device serves, but its health is unknown.
    KeyUnfit(String),
}

/// A ciphertext that the device was able to decrypt.
#[derive(Debug)]
pub(in crate::pkcs11) struct KnownGood {
    key: KeyEntry,
    encrypted: Encrypted,
}

impl KnownGood {
    /// `encrypted` is a ciphertext of [`PLAINTEXT`] with [`AAD`] under this key.
    pub(in crate::pkcs11) fn new(key: KeyEntry, encrypted: Encrypted) -> Self {
        Self { key, encrypted }
    }
}

/// The maximum number of keys whose ciphertexts are stored.
const MAX_CIPHERTEXTS: usize = 1_024;

/// Known-good ciphertexts of keys of key stores, by the handle of the key.
#[derive(Default)]
pub(in crate::pkcs11) struct KnownCiphertexts(Mutex<HashMap<CK_OBJECT_HANDLE, Arc<KnownGood>>>);

impl KnownCiphertexts {
    /// Returns the ciphertext of this key.
    pub(in crate::pkcs11) fn of(&self, key: ObjectHandle) -> Option<Arc<KnownGood>> {
        let ciphertexts = self.0.lock().unwrap_or_else(poisoned);
        ciphertexts.get(&key.handle()).cloned()
    }

    /// Stores a ciphertext. At the limit, all others are deleted first.
    pub(in crate::pkcs11) fn add(&self, known: KnownGood) {
        let mut ciphertexts = self.0.lock().unwrap_or_else(poisoned);
        if ciphertexts.len() >= MAX_CIPHERTEXTS {
            ciphertexts.clear();
        }
        ciphertexts.insert(known.key.handle.handle(), Arc::new(known));
    }
}

/// A session and its AES-GCM, for checks.
pub(in crate::pkcs11) struct Checker<'a> {
    pub session: &'a Session,
    pub gcm: &'a mut Gcm,
}

impl Checker<'_> {
    /// The check before a token is used: two encryptions use two IVs, each ciphertext decrypts, and a changed tag is rejected. A device that
    /// fails this check must not serve.
    pub(in crate::pkcs11) fn probe(
        &mut self,
        keys: &KeyTable,
        label: &str,
    ) -> Result<Checked, OpenError> {
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
        let encrypted = self.round_trip(&key, None)?;
        Ok(Checked::Works(KnownGood { key, encrypted }))
    }

    /// The periodic check: one encryption and one decryption. The IV must be new in the history of the device.
    pub(in crate::pkcs11) fn check(
        &mut self,
        keys: &KeyTable,
        label: &str,
        history: &History,
    ) -> Result<Checked, OpenError> {
        match self.health_key(keys, label)? {
            Ok(key) => {
                let selector = KeySelector::Label(label.to_owned());
                let encrypted = self.round_trip(&key, Some(history.of(&selector)))?;
                Ok(Checked::Works(KnownGood { key, encrypted }))
            }
            Err(unfit) => Ok(Checked::KeyUnfit(unfit)),
        }
    }

    /// Returns whether the device still decrypts the known-good ciphertext.
    pub(in crate::pkcs11) fn still_works(&self, known: &KnownGood) -> bool {
        self.opens(&known.key, &known.encrypted)
    }

    /// Returns whether the device still encrypts and decrypts with the key of the known-good ciphertext.
    pub(in crate::pkcs11) fn encrypts_again(&mut self, known: &KnownGood) -> bool {
        self.round_trip(&known.key, None).is_ok()
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
            Err(FindError::Absent) => {
                return Ok(Err(format!("the token has no health key: {create}")));
            }
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
        // The handle may be stale, or the key may have changed.
        let entry = match keys.read_again(self.session, &selector, entry.handle) {
            Ok(entry) => entry,
            Err(_) => match keys.find_replacement(self.session, &selector, entry.handle) {
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
    ) -> Result<Encrypted, OpenError> {
        let encrypted = self
            .gcm
            .encrypt(self.session, key.handle, history, AAD, PLAINTEXT)?;
        match self.opens(key, &encrypted) {
            true => Ok(encrypted),
            false => Err(OpenError::ProbeFailed(
                "it does not decrypt a ciphertext that it made",
            )),
        }
    }

    fn opens(&self, key: &KeyEntry, encrypted: &Encrypted) -> bool {
        let joined = joined(encrypted);
        let opened = self
            .gcm
            .decrypt(self.session, key.handle, &encrypted.iv, AAD, &joined);
        opened.is_ok_and(|plaintext| is_plaintext(&plaintext))
    }
}

/// Returns whether the decrypted bytes are [`PLAINTEXT`].
pub(in crate::pkcs11) fn is_plaintext(opened: &SecretBytes) -> bool {
    opened.expose() == PLAINTEXT
}

/// Returns ciphertext ‖ tag.
pub(in crate::pkcs11) fn joined(encrypted: &Encrypted) -> Vec<u8> {
    [&encrypted.ciphertext[..], &encrypted.tag].concat()
}
