//! The only `unsafe` of the program: AES-GCM in one C call per direction.
//!
//! `cryptoki`'s `encrypt` and `decrypt` call the C function twice, once for the length; on a network HSM that may be a round
//! trip. The length of a GCM output is known beforehand, so one call with a buffer of the right size does.
//!
//! # Invariants
//! - Every pointer that is handed to the module points into a buffer that outlives the call, with its true length beside it.
//! - The parameter block lives until the second call has returned: a module may keep the pointer from `C_EncryptInit` on.
//! - A length that the module reports is checked before it is believed.
//! - A session is used by one thread at a time: it is borrowed from the owner thread's [`Session`], which is not `Sync`.
#![expect(
    unsafe_code,
    reason = "C functions of the PKCS#11 module; this file is the one place for them"
)]

use std::ffi::c_void;
use std::path::Path;
use std::ptr;

use cryptoki::error::{Rv, RvError};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki_sys::{
    CK_BYTE, CK_FUNCTION_LIST, CK_FUNCTION_LIST_PTR, CK_GCM_PARAMS, CK_MECHANISM, CK_RV, CK_ULONG,
    CKM_AES_GCM,
};
use thiserror::Error;

use crate::ekm::TAG_LENGTH;
use crate::secret::SecretBytes;

/// Why a call gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum CallError {
    /// The module returned something else than `CKR_OK`.
    #[error("{0:?}")]
    Returned(RvError),
    /// The module's output has a length that GCM cannot have.
    #[error("the module reports an output of {0} bytes, which is impossible")]
    ImpossibleLength(u64),
    /// The device's random generator gave an IV that is all zero or the same as the one before.
    #[error("the device's random generator repeats itself; nothing was encrypted")]
    IvRefused,
    /// The module has no such function, or a length does not fit its integers.
    #[error("the module cannot make this call")]
    NotCallable,
}

/// Why a library is no PKCS#11 module.
#[derive(Debug, Error)]
pub(super) enum LoadError {
    /// The dynamic linker refuses it.
    #[error("cannot be loaded: {0}")]
    Library(String),
    /// It does not give a function list.
    #[error("is not a PKCS#11 module (C_GetFunctionList is missing or fails)")]
    NoFunctionList,
}

/// A module's function table, with the library that it points into.
pub(super) struct Functions {
    table: CK_FUNCTION_LIST,
    // Unloading the library would leave the table dangling.
    _library: cryptoki_sys::Pkcs11,
}

impl Functions {
    /// Loads the library (once more than `cryptoki` does: the dynamic linker counts) and copies its function table.
    pub(super) fn load(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: loading a library runs its initialisers; which library is loaded is the operator's configuration, whose
        // trust this process shares by design.
        let library = unsafe { cryptoki_sys::Pkcs11::new(path) };
        let library = library.map_err(|error| LoadError::Library(error.to_string()))?;
        if library.C_GetFunctionList.is_err() {
            return Err(LoadError::NoFunctionList);
        }
        let mut list: CK_FUNCTION_LIST_PTR = ptr::null_mut();
        // SAFETY: the symbol exists (checked above; the generated wrapper would panic otherwise) and `list` is a valid place for
        // the pointer.
        let rv = unsafe { library.C_GetFunctionList(&mut list) };
        if !matches!(Rv::from(rv), Rv::Ok) || list.is_null() {
            return Err(LoadError::NoFunctionList);
        }
        // SAFETY: CKR_OK with a non-null pointer: PKCS#11 promises a complete, static CK_FUNCTION_LIST there. It may be packed
        // differently nowhere but on Windows.
        let table = unsafe { ptr::read_unaligned(list) };
        Ok(Self {
            table,
            _library: library,
        })
    }

    /// Encrypts; gives ciphertext ‖ tag, exactly `plaintext.len() + 16` bytes. `iv` is mutable because a module may write to
    /// it; with a caller's IV it must not.
    pub(super) fn gcm_encrypt(
        &self,
        session: &Session,
        key: ObjectHandle,
        iv: &mut [u8],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let init = self.table.C_EncryptInit.ok_or(CallError::NotCallable)?;
        let encrypt = self.table.C_Encrypt.ok_or(CallError::NotCallable)?;
        let mut params = gcm_params(iv, aad)?;
        let mut mechanism = gcm_mechanism(&mut params);
        // SAFETY: `mechanism`, `params`, `iv` and `aad` outlive this call and the next one; session and key are plain numbers
        // that the module checks itself.
        ok(unsafe { init(session.handle(), &mut mechanism, key.handle()) })?;
        let mut output = vec![0; plaintext.len() + TAG_LENGTH];
        let mut length = ulong(output.len())?;
        // SAFETY: PKCS#11 does not write to pData (the parameter is not const for history's sake); `output` has `length` bytes.
        ok(unsafe {
            encrypt(
                session.handle(),
                plaintext.as_ptr().cast_mut(),
                ulong(plaintext.len())?,
                output.as_mut_ptr(),
                &mut length,
            )
        })?;
        match usize::try_from(length) {
            Ok(actual) if actual == output.len() => Ok(output),
            _ => Err(CallError::ImpossibleLength(length)),
        }
    }

    /// Decrypts ciphertext ‖ tag; gives exactly `ciphertext_and_tag.len() - 16` bytes.
    pub(super) fn gcm_decrypt(
        &self,
        session: &Session,
        key: ObjectHandle,
        iv: &[u8],
        aad: &[u8],
        ciphertext_and_tag: &[u8],
    ) -> Result<SecretBytes, CallError> {
        let init = self.table.C_DecryptInit.ok_or(CallError::NotCallable)?;
        let decrypt = self.table.C_Decrypt.ok_or(CallError::NotCallable)?;
        let mut iv = iv.to_vec();
        let mut params = gcm_params(&mut iv, aad)?;
        let mut mechanism = gcm_mechanism(&mut params);
        // SAFETY: as in `gcm_encrypt`.
        ok(unsafe { init(session.handle(), &mut mechanism, key.handle()) })?;
        // Some modules want room for the whole input, though they fill less; wiped when dropped, whatever happens.
        let mut output = zeroize::Zeroizing::new(vec![0; ciphertext_and_tag.len()]);
        let mut length = ulong(output.len())?;
        // SAFETY: as in `gcm_encrypt`.
        ok(unsafe {
            decrypt(
                session.handle(),
                ciphertext_and_tag.as_ptr().cast_mut(),
                ulong(ciphertext_and_tag.len())?,
                output.as_mut_ptr(),
                &mut length,
            )
        })?;
        let expected = ciphertext_and_tag.len().checked_sub(TAG_LENGTH);
        match (usize::try_from(length).ok(), expected) {
            (Some(actual), Some(expected)) if actual == expected => {
                output.truncate(expected);
                Ok(SecretBytes::new(std::mem::take(&mut *output)))
            }
            _ => Err(CallError::ImpossibleLength(length)),
        }
    }
}

/// `ulIvBits` is always set: some devices refuse 0.
fn gcm_params(iv: &mut [u8], aad: &[u8]) -> Result<CK_GCM_PARAMS, CallError> {
    Ok(CK_GCM_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: ulong(iv.len())?,
        ulIvBits: ulong(iv.len() * 8)?,
        pAAD: aad.as_ptr().cast_mut().cast::<CK_BYTE>(),
        ulAADLen: ulong(aad.len())?,
        ulTagBits: ulong(TAG_LENGTH * 8)?,
    })
}

fn gcm_mechanism(params: &mut CK_GCM_PARAMS) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: CKM_AES_GCM,
        pParameter: ptr::from_mut(params).cast::<c_void>(),
        // 48 bytes: the size of a constant type always fits.
        ulParameterLen: size_of::<CK_GCM_PARAMS>() as CK_ULONG,
    }
}

fn ulong(length: usize) -> Result<CK_ULONG, CallError> {
    CK_ULONG::try_from(length).map_err(|_| CallError::NotCallable)
}

fn ok(rv: CK_RV) -> Result<(), CallError> {
    match Rv::from(rv) {
        Rv::Ok => Ok(()),
        Rv::Error(error) => Err(CallError::Returned(error)),
    }
}
