//! One AES-GCM call: an `Init` call and one call with the exact output length.

use cryptoki::object::ObjectHandle;
use cryptoki_sys::{CK_MECHANISM_TYPE, CK_ULONG, CKM_AES_GCM};

use crate::ekm::TAG_LENGTH;
use crate::pkcs11::library::errors::{CallError, Violation};
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::library::structures::{GcmParams, ParamsForm};
use crate::secret::SecretBytes;

/// `CKM_CLOUDHSM_AES_GCM`: AWS CloudHSM's vendor mechanism. It generates the IV and returns it before the ciphertext.
pub(in crate::pkcs11) const VENDOR_PREPENDED_GCM: CK_MECHANISM_TYPE = 0x8000_1087;

/// The IV length that is requested from the message interface, in bytes.
const MESSAGE_IV_LENGTH: usize = 12;

/// The mechanism of a call and its parameters.
pub(in crate::pkcs11) struct GcmCall<'a> {
    /// True if the call uses [`VENDOR_PREPENDED_GCM`] instead of `CKM_AES_GCM`.
    pub is_vendor_mechanism: bool,
    pub params: ParamsForm,
    /// An empty IV is passed as NULL. Mutable because a module may write to it.
    pub iv: &'a mut [u8],
    pub aad: &'a [u8],
}

impl<'a> GcmCall<'a> {
    /// Encrypts. The output has exactly `plaintext.len() + 16 + iv_length` bytes.
    pub(in crate::pkcs11) fn encrypt(
        self,
        session: &Session,
        key: ObjectHandle,
        plaintext: &[u8],
        iv_length: usize,
    ) -> Result<Vec<u8>, CallError> {
        let mut output = vec![0; plaintext.len() + TAG_LENGTH + iv_length];
        let length = session.encrypt(self.into_params(), key, plaintext, &mut output)?;
        check_length(length, output.len())?;
        Ok(output)
    }

    /// Decrypts `input`: `iv_length` bytes ‖ ciphertext ‖ tag. The plaintext has exactly `input.len() - 16 - iv_length` bytes.
    pub(in crate::pkcs11) fn decrypt(
        self,
        session: &Session,
        key: ObjectHandle,
        input: &[u8],
        iv_length: usize,
    ) -> Result<SecretBytes, CallError> {
        // Some modules require an output buffer as long as the input, although the plaintext is shorter. Wiped when dropped, also on errors.
        let mut output = zeroize::Zeroizing::new(vec![0; input.len()]);
        let length = session.decrypt(self.into_params(), key, input, &mut output)?;
        let expected = input.len().saturating_sub(TAG_LENGTH + iv_length);
        check_length(length, expected)?;
        output.truncate(expected);
        Ok(SecretBytes::new(std::mem::take(&mut *output)))
    }

    fn into_params(self) -> GcmParams<'a> {
        let mechanism = match self.is_vendor_mechanism {
            true => VENDOR_PREPENDED_GCM,
            false => CKM_AES_GCM,
        };
        GcmParams::new(mechanism, self.params, self.iv, self.aad)
    }
}

/// Encrypts through the message interface of PKCS#11 3.x. Returns the IV that the device generated, and ciphertext ‖ tag.
pub(in crate::pkcs11) fn message_encrypt(
    session: &Session,
    key: ObjectHandle,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), CallError> {
    let (mut iv, mut tag) = (vec![0; MESSAGE_IV_LENGTH], [0; TAG_LENGTH]);
    let mut output = vec![0; plaintext.len()];
    let length = session.encrypt_message(key, aad, plaintext, &mut iv, &mut output, &mut tag)?;
    check_length(length, output.len())?;
    output.extend_from_slice(&tag);
    Ok((iv, output))
}

fn check_length(reported: CK_ULONG, expected: usize) -> Result<(), CallError> {
    match usize::try_from(reported) {
        Ok(reported) if reported == expected => Ok(()),
        _ => Err(CallError::Wrong(Violation::Length(reported))),
    }
}
