//! AES-256-GCM under a fresh IV, by the device's plan.
//!
//! # Invariants
//! - No IV is used twice. A caller's IV comes from the device's random generator (NIST SP 800-38D section 8.2.2) and is taken out of the
//!   pool before it is used; a device's IV is refused when it is all zero. Either is refused when it equals the one before.
//! - What comes back has exactly the length that the plan says, or nothing of it is used.

use std::sync::Arc;

use cryptoki::error::Error;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use super::errors::CallError;
use super::ffi::GcmCall;
use super::module::Module;
use super::profile::{IvSource, Plan};
use crate::ekm::{Sealed, TAG_LENGTH};
use crate::secret::SecretBytes;

/// The length of every IV but an appended one, in bytes.
const IV_LENGTH: usize = 12;

/// The length of an appended IV, in bytes.
const APPENDED_IV_LENGTH: usize = 16;

/// How many IVs are fetched by one `C_GenerateRandom`: on a network HSM each call is a round trip.
const IVS_PER_CALL: usize = 64;

/// One session's AES-GCM.
pub(super) struct Gcm {
    module: Arc<Module>,
    plan: Plan,
    pool: Vec<[u8; IV_LENGTH]>,
    last: Vec<u8>,
}

impl Gcm {
    pub(super) fn new(module: Arc<Module>, plan: Plan) -> Self {
        Self {
            module,
            plan,
            pool: Vec::with_capacity(IVS_PER_CALL),
            last: Vec::new(),
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
        let sealed = match self.plan.iv {
            IvSource::Caller => self.with_callers_iv(session, key, aad, plaintext)?,
            IvSource::WrittenBack => {
                let mut iv = vec![0; IV_LENGTH];
                let output = self
                    .call(&mut iv, aad)
                    .encrypt(session, key, plaintext, 0)?;
                Parts { iv, output }
            }
            IvSource::Appended => {
                let call = self.call(&mut [], aad);
                let mut output = call.encrypt(session, key, plaintext, APPENDED_IV_LENGTH)?;
                let iv = output.split_off(output.len().saturating_sub(APPENDED_IV_LENGTH));
                Parts { iv, output }
            }
            IvSource::Prepended => {
                let call = self.call(&mut [], aad);
                let mut iv = call.encrypt(session, key, plaintext, IV_LENGTH)?;
                let output = iv.split_off(IV_LENGTH.min(iv.len()));
                Parts { iv, output }
            }
            IvSource::Message => {
                let functions = &self.module.functions;
                let (iv, output) = functions.message_encrypt(session, key, aad, plaintext)?;
                Parts { iv, output }
            }
        };
        self.checked(sealed)
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
        if self.plan.iv == IvSource::Prepended {
            // The vendor's mechanism takes the IV where it put it: before the ciphertext.
            let input = [iv, ciphertext_and_tag].concat();
            return self
                .call(&mut [], aad)
                .decrypt(session, key, &input, iv.len());
        }
        let mut iv = iv.to_vec();
        self.call(&mut iv, aad)
            .decrypt(session, key, ciphertext_and_tag, 0)
    }

    fn call<'a>(&'a self, iv: &'a mut [u8], aad: &'a [u8]) -> GcmCall<'a> {
        GcmCall {
            functions: &self.module.functions,
            is_vendors: self.plan.iv == IvSource::Prepended,
            params: self.plan.params,
            iv,
            aad,
        }
    }

    fn with_callers_iv(
        &mut self,
        session: &Session,
        key: ObjectHandle,
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Parts, CallError> {
        if self.pool.is_empty() {
            self.refill(session)?;
        }
        let mut iv = self.pool.pop().ok_or(CallError::IvRefused)?.to_vec();
        self.refuse_iv(&iv)?;
        let ours = iv.clone();
        let output = self
            .call(&mut iv, aad)
            .encrypt(session, key, plaintext, 0)?;
        // A device that puts another IV in the place of ours is not of this profile.
        match iv == ours {
            true => Ok(Parts { iv, output }),
            false => Err(CallError::IvRefused),
        }
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

    fn refuse_iv(&self, iv: &[u8]) -> Result<(), CallError> {
        match iv.iter().all(|byte| *byte == 0) || iv == self.last {
            true => Err(CallError::IvRefused),
            false => Ok(()),
        }
    }

    /// The IV guard, and ciphertext and tag taken apart.
    fn checked(&mut self, parts: Parts) -> Result<Sealed, CallError> {
        let Parts { iv, mut output } = parts;
        self.refuse_iv(&iv)?;
        self.last.clone_from(&iv);
        let tag = output.split_off(output.len().saturating_sub(TAG_LENGTH));
        let wrong_length = |tag: Vec<u8>| CallError::ImpossibleLength(tag.len() as u64);
        Ok(Sealed {
            iv,
            tag: tag.try_into().map_err(wrong_length)?,
            ciphertext: output,
        })
    }
}

/// What an encryption gives: the IV, and ciphertext ‖ tag.
struct Parts {
    iv: Vec<u8>,
    output: Vec<u8>,
}
