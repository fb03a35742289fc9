//! AES-256-GCM under a fresh IV, by the device's plan.
//!
//! # Invariants
//! - No IV is used twice. A caller's IV comes from the device's random generator (NIST SP 800-38D section 8.2.2) at most
//!   [`MAX_IV_AGE`] before it is used, and is taken out of the pool first; a device's IV is refused when it is all zero. Either is refused when it equals the one before.
//! - What comes back has exactly the length that the plan says, or nothing of it is used.

use std::time::{Duration, Instant};

use cryptoki::object::ObjectHandle;
use zeroize::{Zeroize, Zeroizing};

use super::errors::CallError;
use super::ffi::Session;
use super::gcm_call::{GcmCall, message_encrypt};
use super::profile::{IvSource, Plan};
use crate::ekm::{Sealed, TAG_LENGTH};
use crate::secret::SecretBytes;

/// The length of every IV but an appended one, in bytes.
const IV_LENGTH: usize = 12;

/// The length of an appended IV, in bytes.
const APPENDED_IV_LENGTH: usize = 16;

/// How many IVs are fetched by one `C_GenerateRandom`: on a network HSM each call is a round trip.
const IVS_PER_CALL: usize = 64;

/// The longest time that an IV waits in the pool. An IV that could be read in memory, or restored with a snapshot of the machine, is of no
/// use for long.
const MAX_IV_AGE: Duration = Duration::from_secs(1);

/// One session's AES-GCM.
pub(super) struct Gcm {
    plan: Plan,
    pool: IvPool,
    last: Vec<u8>,
}

/// IVs that were fetched together.
struct IvPool {
    ivs: Vec<[u8; IV_LENGTH]>,
    fetched: Instant,
}

impl IvPool {
    /// An IV that was fetched at most [`MAX_IV_AGE`] before `now`. Older ones are wiped.
    fn take(&mut self, now: Instant) -> Option<[u8; IV_LENGTH]> {
        if now.saturating_duration_since(self.fetched) > MAX_IV_AGE {
            self.ivs.zeroize();
        }
        self.ivs.pop()
    }

    fn fill(&mut self, random: &[u8], now: Instant) {
        self.ivs.extend(random.as_chunks().0);
        self.fetched = now;
    }
}

impl Gcm {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            pool: IvPool {
                ivs: Vec::with_capacity(IVS_PER_CALL),
                fetched: Instant::now(),
            },
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
                let (iv, output) = message_encrypt(session, key, aad, plaintext)?;
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
        let mut iv = self.fresh_iv(session)?.to_vec();
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

    fn fresh_iv(&mut self, session: &Session) -> Result<[u8; IV_LENGTH], CallError> {
        let now = Instant::now();
        if let Some(iv) = self.pool.take(now) {
            return Ok(iv);
        }
        let mut random = Zeroizing::new([0; IV_LENGTH * IVS_PER_CALL]);
        session.generate_random_slice(&mut *random)?;
        self.pool.fill(&*random, now);
        self.pool.take(now).ok_or(CallError::IvRefused)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iv_is_taken_once_and_never_when_it_is_old() {
        let fetched = Instant::now();
        let mut pool = IvPool {
            ivs: Vec::new(),
            fetched,
        };
        assert_eq!(pool.take(fetched), None);
        let random: Vec<u8> = (0..36).collect();
        pool.fill(&random, fetched);
        let taken = [pool.take(fetched), pool.take(fetched + MAX_IV_AGE)];
        assert!(taken.iter().all(Option::is_some) && taken[0] != taken[1]);
        let late = fetched + MAX_IV_AGE + Duration::from_millis(1);
        assert_eq!(pool.take(late), None);
        assert_eq!(pool.take(fetched), None, "old IVs are gone");
    }
}
