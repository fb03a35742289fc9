//! AES-256-GCM with a new IV for each encryption, by the plan of the device.
//!
//! # Invariants
//! - No IV is used twice. A caller's IV comes from the device's random generator (NIST SP 800-38D section 8.2.2), at most
//!   [`MAX_IV_AGE`] before it is used. It is removed from the pool before the encryption.
//! - An IV is rejected if all its bytes are zero, or if it is one of the last IVs of its key. A caller's IV is checked before the
//!   encryption, a device's IV before the ciphertext is used.
//! - An output is used only if it has exactly the length of the plan, its tag is not all zero, and its ciphertext is not the plaintext.

use std::time::{Duration, Instant};

use cryptoki::object::ObjectHandle;
use zeroize::{Zeroize, Zeroizing};

use super::call::{GcmCall, message_encrypt};
use super::profile::{IvSource, Plan};
use crate::ekm::KeyHistory;
use crate::ekm::{Encrypted, TAG_LENGTH};
use crate::iv::{Iv, MAX_IV};
use crate::pkcs11::library::errors::{CallError, Violation};
use crate::pkcs11::library::ffi::Session;
use crate::secret::{SecretBytes, constant_time_eq};

/// The length of an IV in bytes, except an appended IV.
const IV_LENGTH: usize = 12;

/// The length of an appended IV, in bytes.
const APPENDED_IV_LENGTH: usize = 16;

/// From this length in bytes on, a ciphertext that equals its plaintext is an error: by chance it happens once in 2^128 encryptions.
const MIN_COMPARED_LENGTH: usize = 16;

/// The number of IVs of one `C_GenerateRandom` call: on a network HSM each call is a round trip.
const IVS_PER_CALL: usize = 64;

/// The maximum age of an IV in the pool. It limits the use of IVs that were read from memory or restored with a snapshot of the machine.
const MAX_IV_AGE: Duration = Duration::from_secs(1);

/// AES-GCM on one session.
pub(in crate::pkcs11) struct Gcm {
    plan: Plan,
    pool: IvPool,
    /// The IV of the last encryption that had no history.
    last: Option<Iv>,
}

/// IVs of one `C_GenerateRandom` call.
struct IvPool {
    ivs: Vec<[u8; IV_LENGTH]>,
    fetched: Instant,
}

impl IvPool {
    /// Removes and returns an IV that was fetched at most [`MAX_IV_AGE`] before `now`. Wipes older ones.
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
    pub(in crate::pkcs11) fn new(plan: Plan) -> Self {
        Self {
            plan,
            pool: IvPool {
                ivs: Vec::with_capacity(IVS_PER_CALL),
                fetched: Instant::now(),
            },
            last: None,
        }
    }

    /// Encrypts with a new IV. Without a history of the key, the IV is compared only with the last IV of this session.
    pub(in crate::pkcs11) fn encrypt(
        &mut self,
        session: &Session,
        key: ObjectHandle,
        history: Option<KeyHistory<'_>>,
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Encrypted, CallError> {
        let parts = match self.plan.iv {
            IvSource::Caller => {
                let iv = self.fresh_iv(session)?;
                self.check_iv(checked(&iv)?, history)?;
                let output = self.with_callers_iv(session, key, iv, aad, plaintext)?;
                let iv = checked(&iv)?;
                return validated(CallOutput { iv, output }, plaintext);
            }
            IvSource::WrittenBack => {
                let mut iv = [0; IV_LENGTH];
                let output = self
                    .call(&mut iv, aad)
                    .encrypt(session, key, plaintext, 0)?;
                let iv = checked(&iv)?;
                CallOutput { iv, output }
            }
            IvSource::Appended => {
                let call = self.call(&mut [], aad);
                let mut output = call.encrypt(session, key, plaintext, APPENDED_IV_LENGTH)?;
                let iv = output.split_off(output.len().saturating_sub(APPENDED_IV_LENGTH));
                let iv = checked(&iv)?;
                CallOutput { iv, output }
            }
            IvSource::Prepended => {
                let call = self.call(&mut [], aad);
                let mut iv = call.encrypt(session, key, plaintext, IV_LENGTH)?;
                let output = iv.split_off(IV_LENGTH.min(iv.len()));
                let iv = checked(&iv)?;
                CallOutput { iv, output }
            }
            IvSource::Message => {
                let (iv, output) = message_encrypt(session, key, aad, plaintext)?;
                let iv = checked(&iv)?;
                CallOutput { iv, output }
            }
        };
        self.check_iv(parts.iv, history)?;
        validated(parts, plaintext)
    }

    /// Decrypts ciphertext ‖ tag.
    pub(in crate::pkcs11) fn decrypt(
        &self,
        session: &Session,
        key: ObjectHandle,
        iv: &Iv,
        aad: &[u8],
        ciphertext_and_tag: &[u8],
    ) -> Result<SecretBytes, CallError> {
        if self.plan.iv == IvSource::Prepended {
            // The vendor mechanism expects the IV before the ciphertext.
            let iv = iv.as_bytes();
            let input = [iv, ciphertext_and_tag].concat();
            return self
                .call(&mut [], aad)
                .decrypt(session, key, &input, iv.len());
        }
        // A module may write to its parameters.
        let (mut buffer, length) = ([0; MAX_IV], iv.as_bytes().len());
        let iv_copy = buffer.get_mut(..length).unwrap_or_default();
        iv_copy.copy_from_slice(iv.as_bytes());
        self.call(iv_copy, aad)
            .decrypt(session, key, ciphertext_and_tag, 0)
    }

    fn call<'a>(&'a self, iv: &'a mut [u8], aad: &'a [u8]) -> GcmCall<'a> {
        GcmCall {
            is_vendor_mechanism: self.plan.iv == IvSource::Prepended,
            params: self.plan.params,
            iv,
            aad,
        }
    }

    fn with_callers_iv(
        &self,
        session: &Session,
        key: ObjectHandle,
        passed_iv: [u8; IV_LENGTH],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let mut iv = passed_iv;
        let output = self
            .call(&mut iv, aad)
            .encrypt(session, key, plaintext, 0)?;
        match iv == passed_iv {
            true => Ok(output),
            false => Err(CallError::IvReplaced),
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
        self.pool.take(now).ok_or(CallError::NotCallable)
    }

    /// Rejects an IV of zeros, and an IV that was used before.
    fn check_iv(&mut self, iv: Iv, history: Option<KeyHistory<'_>>) -> Result<(), CallError> {
        if is_zero(iv.as_bytes()) {
            return Err(CallError::Wrong(Violation::ZeroIv));
        }
        let is_new = match history {
            Some(history) => history.add_iv(iv),
            None => self.last.replace(iv) != Some(iv),
        };
        match is_new {
            true => Ok(()),
            false => Err(CallError::Wrong(Violation::RepeatedIv)),
        }
    }
}

fn checked(iv: &[u8]) -> Result<Iv, CallError> {
    let wrong_length = CallError::Wrong(Violation::Length(iv.len() as u64));
    Iv::new(iv).ok_or(wrong_length)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Splits ciphertext and tag. Fails if they cannot be the output of an encryption of `plaintext`.
fn validated(parts: CallOutput, plaintext: &[u8]) -> Result<Encrypted, CallError> {
    let CallOutput { iv, mut output } = parts;
    let tag = output.split_off(output.len().saturating_sub(TAG_LENGTH));
    let wrong_length = |tag: Vec<u8>| CallError::Wrong(Violation::Length(tag.len() as u64));
    let tag: [u8; TAG_LENGTH] = tag.try_into().map_err(wrong_length)?;
    if is_zero(&tag) {
        return Err(CallError::Wrong(Violation::ZeroTag));
    }
    if output.len() >= MIN_COMPARED_LENGTH && constant_time_eq(&output, plaintext) {
        return Err(CallError::Wrong(Violation::NotEncrypted));
    }
    Ok(Encrypted {
        iv,
        tag,
        ciphertext: output,
        digest: None,
    })
}

/// The result of an encryption call: the IV, and ciphertext ‖ tag.
struct CallOutput {
    iv: Iv,
    output: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iv_is_used_once_and_never_when_it_is_too_old() {
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

    fn output_of(ciphertext: &[u8], tag: [u8; TAG_LENGTH]) -> CallOutput {
        CallOutput {
            iv: Iv::ANY,
            output: [ciphertext, &tag].concat(),
        }
    }

    #[test]
    fn an_output_that_no_working_device_returns_is_rejected() {
        let plaintext = [5; MIN_COMPARED_LENGTH];
        let violation = |parts| match validated(parts, &plaintext) {
            Err(CallError::Wrong(violation)) => Some(violation),
            _ => None,
        };
        let good = output_of(&[6; MIN_COMPARED_LENGTH], [9; TAG_LENGTH]);
        assert_eq!(violation(good), None);
        let zero_tag = output_of(&[6; MIN_COMPARED_LENGTH], [0; TAG_LENGTH]);
        assert_eq!(violation(zero_tag), Some(Violation::ZeroTag));
        let plain = output_of(&plaintext, [9; TAG_LENGTH]);
        assert_eq!(violation(plain), Some(Violation::NotEncrypted));
        let short = CallOutput {
            iv: Iv::ANY,
            output: vec![9; TAG_LENGTH - 1],
        };
        assert_eq!(violation(short), Some(Violation::Length(15)));
    }

    #[test]
    fn a_short_ciphertext_may_equal_its_plaintext_by_chance() {
        let short = [5; MIN_COMPARED_LENGTH - 1];
        assert!(validated(output_of(&short, [9; TAG_LENGTH]), &short).is_ok());
    }
}
