//! One AES-GCM call: a single C call per direction after its `Init`, with the exact length of the output.

use cryptoki::object::ObjectHandle;
use cryptoki_sys::{CK_MECHANISM_TYPE, CK_ULONG, CKM_AES_GCM};

use crate::ekm::TAG_LENGTH;
use crate::pkcs11::library::errors::{CallError, Violation};
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::library::structures::{GcmParams, ParamsForm};
use crate::secret::SecretBytes;

/// `CKM_CLOUDHSM_AES_GCM`: AWS CloudHSM's own mechanism, which makes the IV and puts it before the ciphertext.
pub(in crate::pkcs11) const VENDOR_PREPENDED_GCM: CK_MECHANISM_TYPE = 0x8000_1087;

/// The length of the IV that the message interface is asked for, in bytes.
const MESSAGE_IV_LENGTH: usize = 12;

/// Mechanism, parameters and what goes into them.
pub(in crate::pkcs11) struct GcmCall<'a> {
    /// Whether the vendor's mechanism is used instead of the standard one.
    pub is_vendors: bool,
    pub params: ParamsForm,
    /// Empty for NULL. Mutable because a module may write to it.
    pub iv: &'a mut [u8],
    pub aad: &'a [u8],
}

impl<'a> GcmCall<'a> {
    /// Encrypts; gives exactly `plaintext.len() + 16 + more` bytes.
    pub(in crate::pkcs11) fn encrypt(
        self,
        session: &Session,
        key: ObjectHandle,
        plaintext: &[u8],
        more: usize,
    ) -> Result<Vec<u8>, CallError> {
        let mut output = vec![0; plaintext.len() + TAG_LENGTH + more];
        let length = session.encrypt(self.into_params(), key, plaintext, &mut output)?;
        exactly(length, output.len())?;
        Ok(output)
    }

    /// Decrypts `input`: ciphertext ‖ tag, with `more` bytes before it; gives exactly `input.len() - 16 - more` bytes.
    pub(in crate::pkcs11) fn decrypt(
        self,
        session: &Session,
        key: ObjectHandle,
        input: &[u8],
        more: usize,
    ) -> Result<SecretBytes, CallError> {
        // Some modules want room for the whole input, though they fill less; wiped when dropped, whatever happens.
        let mut output = zeroize::Zeroizing::new(vec![0; input.len()]);
        let length = session.decrypt(self.into_params(), key, input, &mut output)?;
        let expected = input.len().saturating_sub(TAG_LENGTH + more);
        exactly(length, expected)?;
        output.truncate(expected);
        Ok(SecretBytes::new(std::mem::take(&mut *output)))
    }

    fn into_params(self) -> GcmParams<'a> {
        let mechanism = match self.is_vendors {
            true => VENDOR_PREPENDED_GCM,
            false => CKM_AES_GCM,
        };
        GcmParams::new(mechanism, self.params, self.iv, self.aad)
    }
}

/// Encrypts through the message interface of PKCS#11 3.x; gives the IV that the device made, and ciphertext ‖ tag.
pub(in crate::pkcs11) fn message_encrypt(
    session: &Session,
    key: ObjectHandle,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), CallError> {
    let (mut iv, mut tag) = (vec![0; MESSAGE_IV_LENGTH], [0; TAG_LENGTH]);
    let mut output = vec![0; plaintext.len()];
    let length = session.encrypt_message(key, aad, plaintext, &mut iv, &mut output, &mut tag)?;
    exactly(length, output.len())?;
    output.extend_from_slice(&tag);
    Ok((iv, output))
}

fn exactly(reported: CK_ULONG, expected: usize) -> Result<(), CallError> {
    match usize::try_from(reported) {
        Ok(reported) if reported == expected => Ok(()),
        _ => Err(CallError::Wrong(Violation::Length(reported))),
    }
}
