//! The AES-GCM dialects of vendors, on top of a module that uses the caller's IV.
//!
//! *Invariants*: the parameters of the client are copied before they are read, so unaligned and short blocks are safe. The client gets an
//! IV only with a ciphertext that was made with it.

#![expect(
    unsafe_code,
    reason = "the client's buffers, and calls of the wrapped module"
)]

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use cryptoki_sys::{
    CK_BYTE, CK_GCM_PARAMS, CK_MECHANISM, CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_ULONG,
    CKM_AES_GCM, CKR_KEY_HANDLE_INVALID, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID,
};

use crate::control::{Dialect, IvSource};
use crate::module::{Answer, Module, call};
use crate::sessions::Session;

/// AWS CloudHSM's mechanism: `CKM_VENDOR_DEFINED | CKM_AES_GCM`.
pub const CKM_CLOUDHSM_AES_GCM: CK_MECHANISM_TYPE = 0x8000_1087;

/// The length of IVs in all dialects except one, in bytes.
pub const IV_LEN: usize = 12;

/// The length of appended IVs, in bytes, as on Luna in FIPS mode.
const APPENDED_IV_LEN: usize = 16;

/// The active operation of a session, as far as dialects need it.
pub enum Operation {
    /// No operation, or one without AES-GCM.
    None,
    /// AES-GCM as in the wrapped module.
    Plain,
    /// The IV is written to the client's memory together with the ciphertext, which is the latest time that a device may choose. A client
    /// that reads the IV earlier reads zeros.
    WriteBack {
        target: AtomicPtr<CK_BYTE>,
        iv: Vec<u8>,
    },
    /// The IV follows the tag.
    Append { iv: Vec<u8> },
    /// The IV comes before the ciphertext.
    Prepend { iv: Vec<u8> },
    /// Decryption, with the IV before the ciphertext.
    Strip(Pending),
}

/// A decryption that starts with the ciphertext, because the ciphertext contains the IV.
pub struct Pending {
    pub key: CK_OBJECT_HANDLE,
    pub aad: Vec<u8>,
    pub tag_bits: CK_ULONG,
    pub started: bool,
}

/// The rule of a dialect for a mechanism.
#[derive(Clone, Copy)]
enum Rule {
    Untouched,
    Refuse,
    Short,
    BitsRequired,
    WriteBack,
    Append,
    Prepend,
}

/// `CK_GCM_PARAMS` before PKCS#11 2.40 errata 1: 40 bytes, without `ulIvBits`.
#[repr(C)]
#[derive(Clone, Copy)]
struct ShortParams {
    iv: *mut CK_BYTE,
    iv_len: CK_ULONG,
    aad: *mut CK_BYTE,
    aad_len: CK_ULONG,
    tag_bits: CK_ULONG,
}

/// `C_EncryptInit`.
///
/// # Safety
/// `mechanism` is null or points to a valid mechanism.
pub unsafe fn start_encrypt(
    module: &Module,
    session: &mut Session,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> Answer {
    // SAFETY: guaranteed by the caller.
    let Some(given) = (unsafe { mechanism.as_ref() }) else {
        return call!(module, C_EncryptInit(session.real, mechanism, key));
    };
    let rule = rule(module.dialect(), given.mechanism);
    let Some(mut params) = translated(rule, given)? else {
        call!(module, C_EncryptInit(session.real, mechanism, key))?;
        session.operation = plain(given);
        return Ok(());
    };
    let operation = own_iv(module, session, rule, &mut params)?;
    let mut below = gcm(&mut params);
    call!(module, C_EncryptInit(session.real, &mut below, key))?;
    session.operation = operation;
    Ok(())
}

/// `C_DecryptInit`.
///
/// # Safety
/// `mechanism` is null or points to a valid mechanism.
pub unsafe fn start_decrypt(
    module: &Module,
    session: &mut Session,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> Answer {
    // SAFETY: guaranteed by the caller.
    let Some(given) = (unsafe { mechanism.as_ref() }) else {
        return call!(module, C_DecryptInit(session.real, mechanism, key));
    };
    let rule = rule(module.dialect(), given.mechanism);
    let Some(mut params) = translated(rule, given)? else {
        call!(module, C_DecryptInit(session.real, mechanism, key))?;
        session.operation = plain(given);
        return Ok(());
    };
    if given.mechanism == CKM_CLOUDHSM_AES_GCM && params.pIv.is_null() {
        session.operation = Operation::Strip(pending(module, session, &params, key)?);
        return Ok(());
    }
    let mut below = gcm(&mut params);
    call!(module, C_DecryptInit(session.real, &mut below, key))?;
    session.operation = Operation::Plain;
    Ok(())
}

/// The mechanism for the wrapped module. It must not outlive `params`.
pub fn gcm(params: &mut CK_GCM_PARAMS) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: CKM_AES_GCM,
        pParameter: ptr::from_mut(params).cast::<c_void>(),
        ulParameterLen: size_of::<CK_GCM_PARAMS>() as CK_ULONG,
    }
}

fn plain(given: &CK_MECHANISM) -> Operation {
    if given.mechanism == CKM_AES_GCM {
        Operation::Plain
    } else {
        Operation::None
    }
}

fn rule(dialect: Dialect, mechanism: CK_MECHANISM_TYPE) -> Rule {
    match (dialect, mechanism) {
        (Dialect::IvWrittenBack | Dialect::IvPrepended, CKM_AES_GCM) => Rule::WriteBack,
        (Dialect::IvPrepended, CKM_CLOUDHSM_AES_GCM) => Rule::Prepend,
        (Dialect::IvAppended, CKM_AES_GCM) => Rule::Append,
        (Dialect::ShortParams, CKM_AES_GCM) => Rule::Short,
        (Dialect::IvBitsRequired, CKM_AES_GCM) => Rule::BitsRequired,
        (Dialect::NoGcm, CKM_AES_GCM) => Rule::Refuse,
        _ => Rule::Untouched,
    }
}

/// The parameters for the wrapped module; `None` if the dialect does not change them.
fn translated(rule: Rule, given: &CK_MECHANISM) -> Answer<Option<CK_GCM_PARAMS>> {
    let params = match rule {
        Rule::Untouched => return Ok(None),
        Rule::Refuse => return Err(CKR_MECHANISM_INVALID),
        Rule::Short => short_params(given)?,
        Rule::BitsRequired | Rule::WriteBack | Rule::Append | Rule::Prepend => read_params(given)?,
    };
    if matches!(rule, Rule::BitsRequired) && params.ulIvBits == 0 {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    Ok(Some(params))
}

fn short_params(given: &CK_MECHANISM) -> Answer<CK_GCM_PARAMS> {
    let short: ShortParams = read_params(given)?;
    Ok(CK_GCM_PARAMS {
        pIv: short.iv,
        ulIvLen: short.iv_len,
        ulIvBits: short.iv_len.saturating_mul(8),
        pAAD: short.aad,
        ulAADLen: short.aad_len,
        ulTagBits: short.tag_bits,
    })
}

fn read_params<T: Copy>(given: &CK_MECHANISM) -> Answer<T> {
    let params = given.pParameter.cast::<T>();
    if params.is_null() || given.ulParameterLen != size_of::<T>() as CK_ULONG {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    // SAFETY: by the client's length, this many bytes are readable. Both forms are plain C structures.
    Ok(unsafe { params.read_unaligned() })
}

/// Replaces the client's IV by one of the device, if the dialect requires it.
fn own_iv(
    module: &Module,
    session: &Session,
    rule: Rule,
    params: &mut CK_GCM_PARAMS,
) -> Answer<Operation> {
    let target = params.pIv;
    let (acceptable, len) = match rule {
        Rule::WriteBack => (is_zero_iv(params), IV_LEN),
        Rule::Append => (target.is_null() || params.ulIvLen == 0, APPENDED_IV_LEN),
        Rule::Prepend => (target.is_null(), IV_LEN),
        Rule::Untouched | Rule::Refuse | Rule::Short | Rule::BitsRequired => {
            return Ok(Operation::Plain);
        }
    };
    if !acceptable {
        return Err(CKR_MECHANISM_PARAM_INVALID);
    }
    let mut iv = fresh_iv(module, session, len)?;
    params.pIv = iv.as_mut_ptr();
    params.ulIvLen = len as CK_ULONG;
    params.ulIvBits = 8 * len as CK_ULONG;
    Ok(match rule {
        Rule::WriteBack => Operation::WriteBack {
            target: AtomicPtr::new(target),
            iv,
        },
        Rule::Append => Operation::Append { iv },
        _ => Operation::Prepend { iv },
    })
}

fn is_zero_iv(params: &CK_GCM_PARAMS) -> bool {
    let iv = params.pIv.cast::<[u8; IV_LEN]>();
    // SAFETY: by the client's length, this many bytes are readable.
    params.ulIvLen == IV_LEN as CK_ULONG && !iv.is_null() && unsafe { iv.read() } == [0; IV_LEN]
}

fn fresh_iv(module: &Module, session: &Session, len: usize) -> Answer<Vec<u8>> {
    match module.iv_source() {
        IvSource::Zero => Ok(vec![0; len]),
        IvSource::Constant => Ok(vec![0xA5; len]),
        IvSource::Random => {
            let mut iv = vec![0; len];
            call!(
                module,
                C_GenerateRandom(session.real, iv.as_mut_ptr(), len as CK_ULONG)
            )?;
            Ok(iv)
        }
    }
}

fn pending(
    module: &Module,
    session: &Session,
    params: &CK_GCM_PARAMS,
    key: CK_OBJECT_HANDLE,
) -> Answer<Pending> {
    // Detects an invalid key now, because the wrapped module gets the key only later.
    let mut size = 0;
    call!(module, C_GetObjectSize(session.real, key, &mut size)).or(Err(CKR_KEY_HANDLE_INVALID))?;
    let mut aad = vec![0; usize::try_from(params.ulAADLen).unwrap_or(0)];
    if !params.pAAD.is_null() {
        // SAFETY: by the client's length, this many bytes are readable, and `aad` has the same length.
        unsafe { ptr::copy_nonoverlapping(params.pAAD, aad.as_mut_ptr(), aad.len()) };
    }
    Ok(Pending {
        key,
        aad,
        tag_bits: params.ulTagBits,
        started: false,
    })
}

impl Operation {
    /// Writes the IV to the client's memory after the encryption.
    ///
    /// # Safety
    /// The memory that was passed to `C_EncryptInit` as `pIv` is still valid.
    pub unsafe fn write_back(&self) {
        if let Self::WriteBack { target, iv } = self {
            // SAFETY: it is as long as the IV (checked before); the caller guarantees the rest.
            unsafe { ptr::copy_nonoverlapping(iv.as_ptr(), target.load(SeqCst), iv.len()) };
        }
    }
}
