//! Tests whether a key works, and whether two tokens have the same key. Equal labels are not sufficient: one token must decrypt a
//! ciphertext of the other.

use super::inspection::KeyObject;
use super::open_token::{AdministrationError, OpenToken};
use crate::ekm::KeySelector;
use crate::hsm_protocol::administration::TestCiphertext;
use crate::iv::Iv;
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::error_attribution::error_class::{ErrorClass, classify};
use crate::pkcs11::health_key::check::{AAD, PLAINTEXT, joined};
use crate::pkcs11::key_proofs::proof::attempt;
use crate::pkcs11::library::errors::CallError;
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::token::open_error::OpenError;

impl From<CallError> for AdministrationError {
    fn from(error: CallError) -> Self {
        OpenError::from(error).into()
    }
}

impl OpenToken {
    /// Tries the operations that the attributes permit: encrypts a constant and decrypts the ciphertext.
    ///
    /// # Errors
    /// When the key does not work. The text continues "the key …".
    pub fn try_key(&self, key: &KeyObject) -> Result<(), String> {
        let opened = self.new_session();
        let (session, mut gcm) = opened.map_err(|error| format!("cannot be tried: {error}"))?;
        let outcome = attempt(
            &session,
            &mut gcm,
            key.handle,
            key.key.attributes.usage,
            None,
        );
        outcome.map_err(|failed| failed.to_string())
    }

    /// Encrypts a constant under the key.
    ///
    /// # Errors
    /// When the key may not encrypt, or the token fails.
    pub fn seal(&self, key: &KeyObject) -> Result<TestCiphertext, AdministrationError> {
        let (session, mut gcm) = self.new_session()?;
        let encrypted = gcm.encrypt(&session, key.handle, None, AAD, PLAINTEXT)?;
        Ok(TestCiphertext {
            sealed: joined(&encrypted),
            iv: encrypted.iv.as_bytes().to_vec(),
        })
    }

    /// Returns whether this key is the one with which [`OpenToken::seal`] encrypted, on this token or on another one.
    ///
    /// # Errors
    /// When the test is not possible: the key may not decrypt, or the token fails.
    pub fn opens(
        &self,
        key: &KeyObject,
        encrypted: &TestCiphertext,
    ) -> Result<bool, AdministrationError> {
        match self.decrypted(key, encrypted)? {
            Ok(opened) => Ok(opened),
            // No code means "different key" unambiguously. If the device decrypts its own new ciphertext, it works, so the key is a different one.
            Err(error) if classify(error) == ErrorClass::Ambiguous && self.device_works(key)? => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns whether this ciphertext and tag were made with this key, IV and AAD.
    ///
    /// # Errors
    /// See [`OpenToken::opens`].
    pub fn authenticates(
        &self,
        key: &KeyObject,
        aad: &[u8],
        ciphertext: &TestCiphertext,
    ) -> Result<bool, AdministrationError> {
        let (session, gcm) = self.new_session()?;
        let iv = iv_of(ciphertext)?;
        match gcm.decrypt(&session, key.handle, &iv, aad, &ciphertext.sealed) {
            Ok(_) => Ok(true),
            Err(error) if classify(error) == ErrorClass::Ambiguous && self.device_works(key)? => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Decrypts, and returns whether the plaintext is the constant. The inner error is the error of the decryption.
    fn decrypted(
        &self,
        key: &KeyObject,
        encrypted: &TestCiphertext,
    ) -> Result<Result<bool, CallError>, AdministrationError> {
        let (session, gcm) = self.new_session()?;
        let iv = iv_of(encrypted)?;
        let opened = gcm.decrypt(&session, key.handle, &iv, AAD, &encrypted.sealed);
        Ok(opened.map(|opened| opened.expose() == PLAINTEXT))
    }

    /// Returns whether the token decrypts its own ciphertexts: of this key or, if this key may not encrypt, of the health key.
    fn device_works(&self, key: &KeyObject) -> Result<bool, AdministrationError> {
        let health = KeySelector::Label(self.settings.health_key.clone());
        let all = self.keys()?;
        let usable_key =
            std::iter::once(key).chain(all.iter().filter(|key| key.key.answers_to(&health)));
        let mut usable_key = usable_key.filter(|key| key.key.is_fit());
        let Some(usable_key) = usable_key.next() else {
            return Ok(false);
        };
        let encrypted = self.seal(usable_key)?;
        Ok(self.decrypted(usable_key, &encrypted)?.unwrap_or(false))
    }

    /// Opens a new session, because a failed call may leave an active operation in its session.
    fn new_session(&self) -> Result<(Session, Gcm), AdministrationError> {
        let Some(plan) = self.plan else {
            let reason = "AES-GCM does not work on this token";
            return Err(AdministrationError(reason.to_owned()));
        };
        let session = self.slot.open_session(&self.module)?;
        Ok((session, Gcm::new(plan)))
    }
}

fn iv_of(ciphertext: &TestCiphertext) -> Result<Iv, AdministrationError> {
    let wrong = || AdministrationError("the IV is not 12 or 16 bytes".to_owned());
    Iv::new(&ciphertext.iv).ok_or_else(wrong)
}
