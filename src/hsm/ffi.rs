//! The only `unsafe` of the program: AES-GCM in one C call per direction, in every form that devices want.
//!
//! `cryptoki`'s `encrypt` and `decrypt` call the C function twice, once for the length; on a network HSM that may be a round
//! trip. The length of a GCM output is known beforehand, so one call with a buffer of the right size does. Nor can `cryptoki` pass
//! a NULL IV or a 40-byte parameter block.
//!
//! # Invariants
//! - Every pointer that is handed to the module points into a buffer that outlives the call, with its true length beside it.
//! - The parameter block lives until the second call has returned: a module may keep the pointer from `C_EncryptInit` on, and writes
//!   an IV of its own as late as in `C_Encrypt`.
//! - A length that the module reports is checked before it is believed.
//! - A session is used by one thread at a time: it is borrowed from the owner thread's [`Session`], which is not `Sync`.
#![expect(
    unsafe_code,
    reason = "C functions of the PKCS#11 module; this file is the one place for them"
)]

use std::ffi::c_void;
use std::path::Path;
use std::ptr;

use cryptoki::error::Rv;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki_sys::{
    CK_BYTE, CK_FUNCTION_LIST, CK_FUNCTION_LIST_3_0, CK_FUNCTION_LIST_PTR, CK_GCM_MESSAGE_PARAMS,
    CK_GCM_PARAMS, CK_INTERFACE, CK_MECHANISM, CK_RV, CK_ULONG, CKG_GENERATE_RANDOM, CKM_AES_GCM,
};

use super::errors::{CallError, LoadError, Violation};
use super::profile::ParamsForm;
use crate::ekm::TAG_LENGTH;
use crate::secret::SecretBytes;

/// `CKM_CLOUDHSM_AES_GCM`: AWS CloudHSM's own mechanism, which makes the IV and puts it before the ciphertext.
pub(super) const VENDOR_PREPENDED_GCM: CK_ULONG = 0x8000_1087;

/// The length of the IV that the message interface is asked for, in bytes.
const MESSAGE_IV_LENGTH: usize = 12;

/// A module's function tables, with the library that they point into.
pub(super) struct Functions {
    table: CK_FUNCTION_LIST,
    /// The table of PKCS#11 3.x, where the module has one.
    messages: Option<CK_FUNCTION_LIST_3_0>,
    // Unloading the library would leave the tables dangling.
    _library: cryptoki_sys::Pkcs11,
}

impl Functions {
    /// Loads the library (once more than `cryptoki` does: the dynamic linker counts) and copies its function tables.
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
            messages: message_table(&library),
            _library: library,
        })
    }

    /// Encrypts through the message interface of PKCS#11 3.x; gives the IV that the device made, and ciphertext ‖ tag.
    pub(super) fn message_encrypt(
        &self,
        session: &Session,
        key: ObjectHandle,
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), CallError> {
        let table = self.messages.as_ref().ok_or(CallError::NotCallable)?;
        let init = table.C_MessageEncryptInit.ok_or(CallError::NotCallable)?;
        let encrypt = table.C_EncryptMessage.ok_or(CallError::NotCallable)?;
        let finish = table.C_MessageEncryptFinal.ok_or(CallError::NotCallable)?;
        let mut mechanism = mechanism(CKM_AES_GCM, ptr::null_mut(), 0);
        // SAFETY: `mechanism` outlives the call; session and key are plain numbers that the module checks itself.
        ok(unsafe { init(session.handle(), &mut mechanism, key.handle()) })?;
        let mut iv = vec![0; MESSAGE_IV_LENGTH];
        let mut output = vec![0; plaintext.len()];
        let mut tag = [0; TAG_LENGTH];
        let mut params = CK_GCM_MESSAGE_PARAMS {
            pIv: iv.as_mut_ptr(),
            ulIvLen: ulong(iv.len())?,
            ulIvFixedBits: 0,
            ivGenerator: CKG_GENERATE_RANDOM,
            pTag: tag.as_mut_ptr(),
            ulTagBits: ulong(TAG_LENGTH * 8)?,
        };
        let (plain_length, mut length) = (ulong(plaintext.len())?, ulong(output.len())?);
        let (aad_length, params_length) = (ulong(aad.len())?, size_of_ulong(&params));
        // SAFETY: every buffer outlives the call and has the length beside it; the module writes to IV, tag and output only.
        let encrypted = ok(unsafe {
            encrypt(
                session.handle(),
                ptr::from_mut(&mut params).cast::<c_void>(),
                params_length,
                aad.as_ptr().cast_mut(),
                aad_length,
                plaintext.as_ptr().cast_mut(),
                plain_length,
                output.as_mut_ptr(),
                &mut length,
            )
        });
        // SAFETY: ends the operation that `init` began, also after an error; nothing is handed over.
        let finished = ok(unsafe { finish(session.handle()) });
        encrypted.and(finished)?;
        exactly(length, output.len())?;
        output.extend_from_slice(&tag);
        Ok((iv, output))
    }
}

/// The table of PKCS#11 3.x, where the module has one.
fn message_table(library: &cryptoki_sys::Pkcs11) -> Option<CK_FUNCTION_LIST_3_0> {
    library.C_GetInterface.as_ref().ok()?;
    let mut interface: *mut CK_INTERFACE = ptr::null_mut();
    // SAFETY: the symbol exists (checked above); NULL name and version ask for the default interface; `interface` is a valid
    // place for the pointer.
    let rv = unsafe { library.C_GetInterface(ptr::null_mut(), ptr::null_mut(), &mut interface, 0) };
    if !matches!(Rv::from(rv), Rv::Ok) || interface.is_null() {
        return None;
    }
    // SAFETY: CKR_OK with a non-null pointer: PKCS#11 promises a static CK_INTERFACE there.
    let list = unsafe { ptr::read_unaligned(interface) }.pFunctionList;
    if list.is_null() {
        return None;
    }
    // SAFETY: every function list begins like one of 2.40, with its version.
    let version = unsafe { ptr::read_unaligned(list.cast::<CK_FUNCTION_LIST>()) }.version;
    if version.major < 3 {
        return None;
    }
    // SAFETY: a list that says 3.0 or later is at least as long as one of 3.0.
    Some(unsafe { ptr::read_unaligned(list.cast::<CK_FUNCTION_LIST_3_0>()) })
}

/// One AES-GCM call: mechanism, parameters and what goes into them.
pub(super) struct GcmCall<'a> {
    pub functions: &'a Functions,
    /// Whether the vendor's mechanism is used instead of the standard one.
    pub is_vendors: bool,
    pub params: ParamsForm,
    /// Empty for NULL. Mutable because a module may write to it.
    pub iv: &'a mut [u8],
    pub aad: &'a [u8],
}

/// `CK_GCM_PARAMS` as it was before `ulIvBits`.
#[repr(C)]
#[expect(non_snake_case, reason = "the names of the C structure")]
struct ShortGcmParams {
    pIv: *mut CK_BYTE,
    ulIvLen: CK_ULONG,
    pAAD: *mut CK_BYTE,
    ulAADLen: CK_ULONG,
    ulTagBits: CK_ULONG,
}

/// A parameter block of either form, at a place that does not move.
enum Params {
    Long(Box<CK_GCM_PARAMS>),
    Short(Box<ShortGcmParams>),
}

impl GcmCall<'_> {
    /// Encrypts; gives exactly `plaintext.len() + 16 + more` bytes.
    pub(super) fn encrypt(
        self,
        session: &Session,
        key: ObjectHandle,
        plaintext: &[u8],
        more: usize,
    ) -> Result<Vec<u8>, CallError> {
        let init = self
            .functions
            .table
            .C_EncryptInit
            .ok_or(CallError::NotCallable)?;
        let encrypt = self
            .functions
            .table
            .C_Encrypt
            .ok_or(CallError::NotCallable)?;
        let kind = self.mechanism_type();
        let mut params = self.into_params()?;
        let mut mechanism = params.mechanism(kind);
        // SAFETY: `mechanism`, `params`, IV and AAD outlive this call and the next one; session and key are plain numbers
        // that the module checks itself.
        ok(unsafe { init(session.handle(), &mut mechanism, key.handle()) })?;
        let mut output = vec![0; plaintext.len() + TAG_LENGTH + more];
        let (plain_length, mut length) = (ulong(plaintext.len())?, ulong(output.len())?);
        // SAFETY: PKCS#11 does not write to pData (the parameter is not const for history's sake); `output` has `length` bytes.
        ok(unsafe {
            encrypt(
                session.handle(),
                plaintext.as_ptr().cast_mut(),
                plain_length,
                output.as_mut_ptr(),
                &mut length,
            )
        })?;
        drop(params);
        exactly(length, output.len())?;
        Ok(output)
    }

    /// Decrypts `input`: ciphertext ‖ tag, with `more` bytes before it; gives exactly `input.len() - 16 - more` bytes.
    pub(super) fn decrypt(
        self,
        session: &Session,
        key: ObjectHandle,
        input: &[u8],
        more: usize,
    ) -> Result<SecretBytes, CallError> {
        let init = self
            .functions
            .table
            .C_DecryptInit
            .ok_or(CallError::NotCallable)?;
        let decrypt = self
            .functions
            .table
            .C_Decrypt
            .ok_or(CallError::NotCallable)?;
        let kind = self.mechanism_type();
        let mut params = self.into_params()?;
        let mut mechanism = params.mechanism(kind);
        // SAFETY: as in `encrypt`.
        ok(unsafe { init(session.handle(), &mut mechanism, key.handle()) })?;
        // Some modules want room for the whole input, though they fill less; wiped when dropped, whatever happens.
        let mut output = zeroize::Zeroizing::new(vec![0; input.len()]);
        let (input_length, mut length) = (ulong(input.len())?, ulong(output.len())?);
        // SAFETY: as in `encrypt`.
        ok(unsafe {
            decrypt(
                session.handle(),
                input.as_ptr().cast_mut(),
                input_length,
                output.as_mut_ptr(),
                &mut length,
            )
        })?;
        drop(params);
        let expected = input.len().saturating_sub(TAG_LENGTH + more);
        exactly(length, expected)?;
        output.truncate(expected);
        Ok(SecretBytes::new(std::mem::take(&mut *output)))
    }

    fn mechanism_type(&self) -> CK_ULONG {
        match self.is_vendors {
            true => VENDOR_PREPENDED_GCM,
            false => CKM_AES_GCM,
        }
    }

    /// `ulIvBits` is set wherever there is an IV: some devices refuse 0.
    fn into_params(self) -> Result<Params, CallError> {
        let iv = match self.iv.is_empty() {
            true => ptr::null_mut(),
            false => self.iv.as_mut_ptr(),
        };
        let aad = self.aad.as_ptr().cast_mut();
        let (iv_length, aad_length) = (ulong(self.iv.len())?, ulong(self.aad.len())?);
        let tag_bits = ulong(TAG_LENGTH * 8)?;
        Ok(match self.params {
            ParamsForm::WithIvBits => Params::Long(Box::new(CK_GCM_PARAMS {
                pIv: iv,
                ulIvLen: iv_length,
                ulIvBits: iv_length * 8,
                pAAD: aad,
                ulAADLen: aad_length,
                ulTagBits: tag_bits,
            })),
            ParamsForm::WithoutIvBits => Params::Short(Box::new(ShortGcmParams {
                pIv: iv,
                ulIvLen: iv_length,
                pAAD: aad,
                ulAADLen: aad_length,
                ulTagBits: tag_bits,
            })),
        })
    }
}

impl Params {
    fn mechanism(&mut self, kind: CK_ULONG) -> CK_MECHANISM {
        match self {
            Self::Long(params) => {
                let length = size_of_ulong(&**params);
                mechanism(kind, ptr::from_mut(&mut **params).cast::<c_void>(), length)
            }
            Self::Short(params) => {
                let length = size_of_ulong(&**params);
                mechanism(kind, ptr::from_mut(&mut **params).cast::<c_void>(), length)
            }
        }
    }
}

fn mechanism(kind: CK_ULONG, parameter: *mut c_void, length: CK_ULONG) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: kind,
        pParameter: parameter,
        ulParameterLen: length,
    }
}

/// The size of a structure; some 50 bytes fit every integer.
fn size_of_ulong<T>(structure: &T) -> CK_ULONG {
    size_of_val(structure) as CK_ULONG
}

fn ulong(length: usize) -> Result<CK_ULONG, CallError> {
    CK_ULONG::try_from(length).map_err(|_| CallError::NotCallable)
}

fn exactly(reported: CK_ULONG, expected: usize) -> Result<(), CallError> {
    match usize::try_from(reported) {
        Ok(reported) if reported == expected => Ok(()),
        _ => Err(CallError::Wrong(Violation::Length(reported))),
    }
}

fn ok(rv: CK_RV) -> Result<(), CallError> {
    match Rv::from(rv) {
        Rv::Ok => Ok(()),
        Rv::Error(error) => Err(CallError::Returned(error)),
    }
}
