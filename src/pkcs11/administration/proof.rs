//! Whether a key works, and whether two tokens hold one key: what one encrypts, the other must decrypt. A label proves nothing.

use super::inspection::KeyObject;
use super::open_token::{AdministrationError, OpenToken};
use crate::ekm::KeySelector;
use crate::hsm_protocol::administration::TestCiphertext;
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::error_attribution::verdict::{Verdict, verdict};
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
    /// Uses the key as far as its attributes permit: encrypts a constant and decrypts what came out.
    ///
    /// # Errors
    /// Describes what does not work; the text continues "the key …".
    pub fn try_key(&self, key: &KeyObject) -> Result<(), String> {
        let cipher = self.cipher();
        let (session, mut gcm) = cipher.map_err(|error| format!("cannot be tried: {error}"))?;
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
        let (session, mut gcm) = self.cipher()?;
        let sealed = gcm.encrypt(&session, key.handle, None, AAD, PLAINTEXT)?;
        Ok(TestCiphertext {
            sealed: joined(&sealed),
            iv: sealed.iv,
        })
    }

    /// Whether this token's key is the one that [`OpenToken::seal`] was called for, here or on another token.
    ///
    /// # Errors
    /// When it cannot be told: the key may not decrypt, or the token fails.
    pub fn opens(
        &self,
        key: &KeyObject,
        sealed: &TestCiphertext,
    ) -> Result<bool, AdministrationError> {
        match self.decrypted(key, sealed)? {
            Ok(opened) => Ok(opened),
            // No code says for certain "this is another key". A device that decrypts what it has just encrypted is well, so it is.
            Err(error) if verdict(error) == Verdict::Ambiguous && self.is_well(key)? => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether this ciphertext, with its tag behind it, was made under this token's key with this IV and AAD.
    ///
    /// # Errors
    /// When it cannot be told, as for [`OpenToken::opens`].
    pub fn authenticates(
        &self,
        key: &KeyObject,
        aad: &[u8],
        ciphertext: &TestCiphertext,
    ) -> Result<bool, AdministrationError> {
        let (session, gcm) = self.cipher()?;
        match gcm.decrypt(
            &session,
            key.handle,
            &ciphertext.iv,
            aad,
            &ciphertext.sealed,
        ) {
            Ok(_) => Ok(true),
            Err(error) if verdict(error) == Verdict::Ambiguous && self.is_well(key)? => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the constant comes out; inside, what the decryption itself returned.
    fn decrypted(
        &self,
        key: &KeyObject,
        sealed: &TestCiphertext,
    ) -> Result<Result<bool, CallError>, AdministrationError> {
        let (session, gcm) = self.cipher()?;
        let opened = gcm.decrypt(&session, key.handle, &sealed.iv, AAD, &sealed.sealed);
        Ok(opened.map(|opened| opened.expose() == PLAINTEXT))
    }

    /// Whether the token decrypts what it encrypts: under this key or, if that may only decrypt, under the health key.
    fn is_well(&self, key: &KeyObject) -> Result<bool, AdministrationError> {
        let health = KeySelector::Label(self.settings.health_key.clone());
        let all = self.keys()?;
        let able = std::iter::once(key).chain(all.iter().filter(|key| key.key.answers_to(&health)));
        let mut able = able.filter(|key| key.key.is_fit());
        let Some(able) = able.next() else {
            return Ok(false);
        };
        let sealed = self.seal(able)?;
        Ok(self.decrypted(able, &sealed)?.unwrap_or(false))
    }

    /// A session of its own for each: a call that fails may leave an operation behind in it.
    fn cipher(&self) -> Result<(Session, Gcm), AdministrationError> {
        let Some(plan) = self.plan else {
            let reason = "no way to do AES-GCM works on this token";
            return Err(AdministrationError(reason.to_owned()));
        };
        let session = self.slot.open_session(&self.module)?;
        Ok((session, Gcm::new(plan)))
    }
}
