//! The proof that a key can do what KMS needs: one encryption and one decryption.
//!
//! The attributes are not sufficient: a key may have `CKA_ENCRYPT` and `CKA_DECRYPT` although its `CKA_ALLOWED_MECHANISMS` lacks AES-GCM.

use std::fmt;

use cryptoki::error::RvError;
use cryptoki::object::ObjectHandle;

use crate::ekm::KeyHistory;
use crate::ekm::{KeyManagerFault, KeyUsageFlags, TAG_LENGTH};
use crate::iv::Iv;
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::error_attribution::error_class::{ErrorClass, classify};
use crate::pkcs11::health_key::check::{AAD, PLAINTEXT, is_plaintext, joined};
use crate::pkcs11::library::errors::CallError;
use crate::pkcs11::library::ffi::Session;

/// Why requests for a key are rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) struct ProofRejection {
    pub fault: KeyManagerFault,
    /// For the operator. The text continues "the key …".
    pub reason: String,
}

/// The result of a proof.
pub(in crate::pkcs11) enum Outcome {
    Proved,
    /// The attributes do not permit the operation; requests fail with the error for that.
    Unfit,
    Rejected(ProofRejection),
    /// The key fails, and no test could show whether the device works.
    Unknown(String),
    /// The device also fails with another key.
    DeviceFails,
}

/// Why a proof failed.
#[derive(Clone, Copy, Debug)]
pub(in crate::pkcs11) enum Failed {
    Encrypt(CallError),
    Decrypt(CallError),
    /// The decrypted text is not the plaintext.
    Mismatch,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypt(error) => write!(f, "cannot encrypt with AES-GCM: {error}"),
            Self::Decrypt(error) => write!(f, "cannot decrypt with AES-GCM: {error}"),
            Self::Mismatch => f.write_str("does not decrypt to what it encrypted"),
        }
    }
}

/// Tries the operations that the attributes permit. A key that may only decrypt gets an invalid ciphertext: the device must reject the
/// ciphertext, not the key.
///
/// After an error, an operation may still be active in `session`.
pub(in crate::pkcs11) fn attempt(
    session: &Session,
    gcm: &mut Gcm,
    key: ObjectHandle,
    usage: KeyUsageFlags,
    history: Option<KeyHistory<'_>>,
) -> Result<(), Failed> {
    if !usage.encrypt {
        return match usage.decrypt {
            true => attempt_decryption(session, gcm, key),
            false => Ok(()),
        };
    }
    let encrypted = gcm.encrypt(session, key, history, AAD, PLAINTEXT);
    let encrypted = encrypted.map_err(Failed::Encrypt)?;
    if !usage.decrypt {
        return Ok(());
    }
    let opened = gcm.decrypt(session, key, &encrypted.iv, AAD, &joined(&encrypted));
    match is_plaintext(&opened.map_err(Failed::Decrypt)?) {
        true => Ok(()),
        false => Err(Failed::Mismatch),
    }
}

fn attempt_decryption(session: &Session, gcm: &Gcm, key: ObjectHandle) -> Result<(), Failed> {
    let garbage = [0; PLAINTEXT.len() + TAG_LENGTH];
    match gcm.decrypt(session, key, &Iv::ANY, AAD, &garbage) {
        // The code may mean a wrong tag, and this tag is wrong.
        Err(error) if classify(error) == ErrorClass::Ambiguous && !is_about_the_key(error) => {
            Ok(())
        }
        Err(error) => Err(Failed::Decrypt(error)),
        Ok(_) => Err(Failed::Mismatch),
    }
}

/// The rejection of a key that failed, while the device works with another key; `None` if only the handle is stale.
pub(in crate::pkcs11) fn rejection(failed: Failed) -> Option<ProofRejection> {
    let fault = match failed {
        Failed::Mismatch => KeyManagerFault::KeyBlocked,
        Failed::Encrypt(error) | Failed::Decrypt(error) => fault_of(error)?,
    };
    let reason = failed.to_string();
    Some(ProofRejection { fault, reason })
}

fn fault_of(error: CallError) -> Option<KeyManagerFault> {
    let CallError::Returned(code, _) = error else {
        return Some(KeyManagerFault::KeyBlocked);
    };
    match code {
        RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid | RvError::KeyChanged => None,
        RvError::MechanismInvalid
        | RvError::KeyFunctionNotPermitted
        | RvError::ActionProhibited => Some(KeyManagerFault::UsageNotPermitted),
        RvError::KeyTypeInconsistent | RvError::KeySizeRange => {
            Some(KeyManagerFault::KeyUnsuitable)
        }
        _ => Some(KeyManagerFault::KeyBlocked),
    }
}

fn is_about_the_key(error: CallError) -> bool {
    matches!(
        fault_of(error),
        Some(KeyManagerFault::UsageNotPermitted | KeyManagerFault::KeyUnsuitable)
    )
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn codes_about_the_key_mean_invalid_key_usage_and_a_stale_handle_means_nothing() {
        let fault = |code| {
            let failed = Failed::Encrypt(CallError::Returned(code, Function::EncryptInit));
            rejection(failed).map(|rejection| rejection.fault)
        };
        for (code, expected) in [
            (
                RvError::MechanismInvalid,
                Some(KeyManagerFault::UsageNotPermitted),
            ),
            (
                RvError::KeyFunctionNotPermitted,
                Some(KeyManagerFault::UsageNotPermitted),
            ),
            (RvError::KeySizeRange, Some(KeyManagerFault::KeyUnsuitable)),
            (
                RvError::KeyTypeInconsistent,
                Some(KeyManagerFault::KeyUnsuitable),
            ),
            (RvError::GeneralError, Some(KeyManagerFault::KeyBlocked)),
            (RvError::KeyHandleInvalid, None),
        ] {
            assert_eq!(fault(code), expected, "{code:?}");
        }
        let mismatch = rejection(Failed::Mismatch).unwrap();
        assert_eq!(mismatch.fault, KeyManagerFault::KeyBlocked);
    }
}
