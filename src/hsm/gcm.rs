//! AES-256-GCM under a fresh IV: the `caller-iv` profile.
//!
//! # Invariants
//! - No IV is used twice: each comes from the device's random generator (NIST SP 800-38D section 8.2.2), is taken out of the
//!   pool before it is used, and one that is all zero or equals the one before is refused.

use std::sync::Arc;

use cryptoki::error::Error;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use super::ffi::CallError;
use super::module::Module;
use crate::ekm::{Sealed, TAG_LENGTH};
use crate::secret::SecretBytes;

/// The length of an IV of ours, in bytes.
const IV_LENGTH: usize = 12;

/// How many IVs are fetched by one `C_GenerateRandom`: on a network HSM each call is a round trip.
const IVS_PER_CALL: usize = 64;

/// One session's AES-GCM.
pub(super) struct Gcm {
    module: Arc<Module>,
    pool: Vec<[u8; IV_LENGTH]>,
    last: [u8; IV_LENGTH],
}

impl Gcm {
    pub(super) fn new(module: Arc<Module>) -> Self {
        Self {
            module,
            pool: Vec::with_capacity(IVS_PER_CALL),
            last: [0; IV_LENGTH],
        }
    }

    /// Encrypts under a fresh IV.
    pub(super) fn encrypt(
        &mut self,
        session: &Session,
        key: ObjectHandle,
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Sealed, CallError> {
        let mut iv = self.fresh_iv(session)?;
        let sealed = self
            .module
            .functions
            .gcm_encrypt(session, key, &mut iv, aad, plaintext);
        let mut ciphertext = sealed?;
        let tag = ciphertext.split_off(ciphertext.len().saturating_sub(TAG_LENGTH));
        Ok(Sealed {
            iv: iv.to_vec(),
            tag: tag
                .try_into()
                .map_err(|tag: Vec<u8>| CallError::ImpossibleLength(tag.len() as u64))?,
            ciphertext,
        })
    }

    /// Decrypts ciphertext ‖ tag.
    pub(super) fn decrypt(
        &self,
        session: &Session,
        key: ObjectHandle,
        iv: &[u8],
        aad: &[u8],
        ciphertext_and_tag: &[u8],
    ) -> Result<SecretBytes, CallError> {
        self.module
            .functions
            .gcm_decrypt(session, key, iv, aad, ciphertext_and_tag)
    }

    fn fresh_iv(&mut self, session: &Session) -> Result<[u8; IV_LENGTH], CallError> {
        if self.pool.is_empty() {
            self.refill(session)?;
        }
        let iv = self.pool.pop().ok_or(CallError::IvRefused)?;
        // All zero is how `last` starts, so one comparison refuses both.
        if iv == self.last || iv == [0; IV_LENGTH] {
            return Err(CallError::IvRefused);
        }
        self.last = iv;
        Ok(iv)
    }

    fn refill(&mut self, session: &Session) -> Result<(), CallError> {
        let mut random = [0; IV_LENGTH * IVS_PER_CALL];
        session
            .generate_random_slice(&mut random)
            .map_err(|error| match error {
                Error::Pkcs11(code, _) => CallError::Returned(code),
                _ => CallError::NotCallable,
            })?;
        self.pool.extend(random.as_chunks().0);
        Ok(())
    }
}
