//! C structures for calls of a PKCS#11 module. This file makes no calls.
//!
//! # Invariants
//! - A GCM parameter block borrows the IV and the AAD that it points to, and does not move while a mechanism points to it.
//! - The callers in `ffi` use a structure that points into a Rust buffer only while the buffer lives.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr;

use cryptoki::error::RvError;
use cryptoki::object::AttributeType;
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_C_INITIALIZE_ARGS, CK_GCM_MESSAGE_PARAMS, CK_GCM_PARAMS,
    CK_MECHANISM, CK_MECHANISM_TYPE, CK_ULONG, CK_UNAVAILABLE_INFORMATION, CKF_OS_LOCKING_OK,
    CKG_GENERATE_RANDOM,
};

use super::errors::Error;
use crate::ekm::TAG_LENGTH;

/// The maximum number of attempts to read a list that grows between two calls.
const LIST_ATTEMPTS: usize = 8;

/// The maximum length of a list. A larger reported length is ignored.
const MAX_LIST: usize = 65_536;

/// `CK_C_INITIALIZE_ARGS` with one more reserved pointer. NSS reads it when there are parameters, and it must be NULL.
#[repr(C)]
pub(in crate::pkcs11) struct InitializeArguments {
    standard: CK_C_INITIALIZE_ARGS,
    reserved_by_nss: *mut c_void,
}

impl InitializeArguments {
    /// Allows the library to use the locks of the operating system. `parameters` must outlive the arguments.
    pub(in crate::pkcs11) fn new(parameters: Option<&CStr>) -> Self {
        let text = parameters.map_or(ptr::null(), CStr::as_ptr);
        Self {
            standard: CK_C_INITIALIZE_ARGS {
                flags: CKF_OS_LOCKING_OK,
                pReserved: text.cast_mut().cast(),
                ..CK_C_INITIALIZE_ARGS::default()
            },
            reserved_by_nss: ptr::null_mut(),
        }
    }
}

/// An attribute to read. An empty value requests only the length.
pub(in crate::pkcs11) struct AttributeRequest {
    pub kind: AttributeType,
    pub value: Vec<u8>,
    /// The length that the module reports, in bytes; `None` if the attribute cannot be read.
    pub length: Option<usize>,
}

impl AttributeRequest {
    /// The C structure of the request. It points into this value.
    pub(in crate::pkcs11) fn attribute(&mut self) -> CK_ATTRIBUTE {
        CK_ATTRIBUTE {
            type_: self.kind.into(),
            pValue: match self.value.is_empty() {
                true => ptr::null_mut(),
                false => self.value.as_mut_ptr().cast(),
            },
            ulValueLen: ulong(self.value.len()),
        }
    }

    /// Stores the length that the module reported.
    pub(in crate::pkcs11) fn set_length(&mut self, answer: &CK_ATTRIBUTE) {
        let length = answer.ulValueLen;
        let length = (length != CK_UNAVAILABLE_INFORMATION).then_some(length);
        self.length = length.and_then(|length| usize::try_from(length).ok());
    }
}

/// The form of `CK_GCM_PARAMS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) enum ParamsForm {
    /// 48 bytes, with `ulIvBits` (PKCS#11 2.40 errata and later).
    WithIvBits,
    /// 40 bytes, without `ulIvBits`.
    WithoutIvBits,
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

/// A parameter block of either form, at a fixed address.
enum Block {
    Long(Box<CK_GCM_PARAMS>),
    Short(Box<ShortGcmParams>),
}

/// A mechanism and its parameters. It borrows the IV, which a module may write to, and the AAD.
pub(in crate::pkcs11) struct GcmParams<'a> {
    mechanism: CK_MECHANISM_TYPE,
    block: Block,
    _borrowed: PhantomData<&'a mut [u8]>,
}

impl<'a> GcmParams<'a> {
    /// Passes an empty IV as NULL. Sets `ulIvBits` if there is an IV, because some devices reject 0.
    pub(in crate::pkcs11) fn new(
        mechanism: CK_MECHANISM_TYPE,
        form: ParamsForm,
        iv: &'a mut [u8],
        aad: &'a [u8],
    ) -> Self {
        let (iv_length, aad_length) = (ulong(iv.len()), ulong(aad.len()));
        let iv = match iv.is_empty() {
            true => ptr::null_mut(),
            false => iv.as_mut_ptr(),
        };
        let (aad, tag_bits) = (aad.as_ptr().cast_mut(), ulong(TAG_LENGTH * 8));
        let block = match form {
            ParamsForm::WithIvBits => Block::Long(Box::new(CK_GCM_PARAMS {
                pIv: iv,
                ulIvLen: iv_length,
                ulIvBits: iv_length * 8,
                pAAD: aad,
                ulAADLen: aad_length,
                ulTagBits: tag_bits,
            })),
            ParamsForm::WithoutIvBits => Block::Short(Box::new(ShortGcmParams {
                pIv: iv,
                ulIvLen: iv_length,
                pAAD: aad,
                ulAADLen: aad_length,
                ulTagBits: tag_bits,
            })),
        };
        Self {
            mechanism,
            block,
            _borrowed: PhantomData,
        }
    }

    /// Returns a mechanism that points into this block. To be used only while the block lives.
    pub(in crate::pkcs11) fn mechanism(&mut self) -> CK_MECHANISM {
        let (parameter, length) = match &mut self.block {
            Block::Long(params) => pointer_and_size(&mut **params),
            Block::Short(params) => pointer_and_size(&mut **params),
        };
        CK_MECHANISM {
            mechanism: self.mechanism,
            pParameter: parameter,
            ulParameterLen: length,
        }
    }
}

/// The address of a structure, and its size in bytes.
pub(in crate::pkcs11) fn pointer_and_size<T>(structure: &mut T) -> (*mut c_void, CK_ULONG) {
    (ptr::from_mut(structure).cast(), ulong(size_of::<T>()))
}

/// A length as a C integer. Too large lengths become the maximum; no buffer of this program is longer than 2^32 bytes.
pub(in crate::pkcs11) fn ulong(length: usize) -> CK_ULONG {
    CK_ULONG::try_from(length).unwrap_or(CK_ULONG::MAX)
}

/// The parameters of `C_EncryptMessage`. The module generates the IV, and writes IV and tag.
pub(in crate::pkcs11) fn message_params(iv: &mut [u8], tag: &mut [u8]) -> CK_GCM_MESSAGE_PARAMS {
    CK_GCM_MESSAGE_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: ulong(iv.len()),
        ulIvFixedBits: 0,
        ivGenerator: CKG_GENERATE_RANDOM,
        pTag: tag.as_mut_ptr(),
        ulTagBits: ulong(tag.len() * 8),
    }
}

/// A mechanism without parameters.
pub(in crate::pkcs11) fn plain_mechanism(mechanism: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    }
}

/// Reads a list: `fill` is called for the length first, then for the entries. The list may grow between the two calls.
pub(in crate::pkcs11) fn read_list<T: Clone + Default>(
    fill: impl Fn(*mut T, *mut CK_ULONG) -> Result<(), Error>,
) -> Result<Vec<T>, Error> {
    let mut count = 0;
    fill(ptr::null_mut(), &mut count)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    for _ in 0..LIST_ATTEMPTS {
        let length = usize::try_from(count).unwrap_or(MAX_LIST).min(MAX_LIST);
        let mut list = vec![T::default(); length];
        count = ulong(length);
        match fill(list.as_mut_ptr(), &mut count) {
            Ok(()) => {
                list.truncate(usize::try_from(count).unwrap_or(0));
                return Ok(list);
            }
            Err(Error::Pkcs11(RvError::BufferTooSmall, _)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Malformed)
}
