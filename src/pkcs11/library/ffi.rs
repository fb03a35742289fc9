//! Calls the functions of a PKCS#11 module. No other file of `pkcs11` has `unsafe` code.
//!
//! `cryptoki` provides the types. It does not make the calls, for these reasons:
//! - It fetches a function table for itself. p11-kit's modules return a separate, uninitialized table for each request.
//! - It calls `C_Encrypt` and `C_Decrypt` twice, the first time for the output length. On a network HSM that may be a round trip, and the
//!   length of a GCM output is known in advance.
//! - It cannot pass a NULL IV or a 40-byte parameter block.
//!
//! # Invariants
//! - The function table is requested once. Every call uses this table.
//! - Every pointer passed to the module is NULL where the standard allows it, or points into a buffer that outlives the call. The true
//!   length of the buffer is passed with it.
//! - A GCM parameter block lives until the second call has returned. A module may keep the pointer after `C_EncryptInit`, and may
//!   write the IV as late as in `C_Encrypt`.
//! - A length that the module reports is checked before it is used.
//! - A session is used by one thread at a time: [`Session`] is not `Sync`.
#![expect(
    unsafe_code,
    reason = "this file calls the C functions of the PKCS#11 module"
)]

use std::cell::Cell;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use cryptoki::context::Function;
use cryptoki::error::{Rv, RvError};
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_FLAGS, CK_FUNCTION_LIST, CK_FUNCTION_LIST_3_0, CK_INTERFACE,
    CK_INVALID_HANDLE, CK_MECHANISM_TYPE, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID, CK_STATE,
    CK_TOKEN_INFO, CK_ULONG, CKM_AES_GCM, CKU_USER,
};

use super::errors::{Error, LoadError};
use super::structures::{
    AttributeRequest, GcmParams, InitializeArguments, message_params, plain_mechanism,
    pointer_and_size, read_list, ulong,
};

/// The maximum number of objects of one `C_FindObjects` call.
const OBJECTS_PER_CALL: usize = 64;

/// The maximum number of objects of a search (8 MB of handles). A token that returns more counts as failed.
const MAX_OBJECTS: usize = 1_000_000;

/// The function table of a module, and the library that the table points into.
pub(in crate::pkcs11) struct Functions {
    table: CK_FUNCTION_LIST,
    /// The same table with the functions of PKCS#11 3.0, if the module has them.
    messages: Option<CK_FUNCTION_LIST_3_0>,
    // The tables point into the library, which stays loaded as long as this value lives.
    _library: cryptoki_sys::Pkcs11,
}

/// Calls a function of a table. An error contains the function.
macro_rules! call {
    ($table:ident, $name:ident => $function:ident($($argument:expr),*)) => {
        match $table.$function {
            None => Err(Error::Missing),
            // SAFETY: the library stays loaded as long as its table lives, so the function pointer is valid. The arguments keep the
            // invariants above: each pointer is NULL or comes from a reference or a buffer of the calling function.
            Some(function) => match Rv::from(unsafe { function($($argument),*) }) {
                Rv::Ok => Ok(()),
                Rv::Error(code) => Err(Error::Pkcs11(code, Function::$name)),
            },
        }
    };
}

/// Starts an operation and completes it with one call. Returns the output length that the module reports.
macro_rules! init_and_call {
    ($session:ident, $params:ident, $key:ident, $input:ident, $output:ident,
     $init:ident => $c_init:ident, $name:ident => $c_name:ident) => {{
        let (table, handle, mut params) = ($session.table(), $session.handle, $params);
        let mut mechanism = params.mechanism();
        call!(table, $init => $c_init(handle, &raw mut mechanism, $key.handle()))?;
        // PKCS#11 does not write to pData, although the parameter is not const.
        let (data, data_length) = ($input.as_ptr().cast_mut(), ulong($input.len()));
        let (first, mut length) = ($output.as_mut_ptr(), ulong($output.len()));
        call!(table, $name => $c_name(handle, data, data_length, first, &raw mut length))?;
        // The module may use the parameter block until here.
        drop(params);
        Ok(length)
    }};
}

impl Functions {
    /// Loads the library and copies its function table.
    pub(in crate::pkcs11) fn load(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: loading a library runs its initializers. The operator configures the library, and this process trusts it by design.
        let library = unsafe { cryptoki_sys::Pkcs11::new(path) };
        let library = library.map_err(|error| LoadError::Library(error.to_string()))?;
        let interface = default_interface(&library);
        let list = interface.or_else(|| function_list(&library));
        let list = list.ok_or(LoadError::NoFunctionList)?;
        // SAFETY: the module returned this non-null pointer with CKR_OK. PKCS#11 guarantees a complete, static function list there, and
        // every list begins like the list of version 2.40. Only on Windows is the packing different.
        let table = unsafe { ptr::read_unaligned(list) };
        let has_messages = interface.is_some() && table.version.major >= 3;
        let messages = has_messages.then(|| {
            // SAFETY: the list of an interface of version 3.0 or later is at least as long as the list of version 3.0.
            unsafe { ptr::read_unaligned(list.cast::<CK_FUNCTION_LIST_3_0>()) }
        });
        Ok(Self {
            table,
            messages,
            _library: library,
        })
    }

    /// `C_Initialize`. The library may use the locks of the operating system. Some libraries require the string `parameters`.
    pub(in crate::pkcs11) fn initialize(&self, parameters: Option<&CStr>) -> Result<(), Error> {
        let (table, mut arguments) = (&self.table, InitializeArguments::new(parameters));
        call!(table, Initialize => C_Initialize(pointer_and_size(&mut arguments).0))
    }

    /// `C_Finalize`.
    pub(in crate::pkcs11) fn finalize(&self) -> Result<(), Error> {
        let table = &self.table;
        call!(table, Finalize => C_Finalize(ptr::null_mut()))
    }

    /// `C_GetSlotList`: all slots, or those with a token.
    pub(in crate::pkcs11) fn slots(&self, with_token: bool) -> Result<Vec<CK_SLOT_ID>, Error> {
        let table = &self.table;
        read_list(
            |list, count| call!(table, GetSlotList => C_GetSlotList(with_token.into(), list, count)),
        )
    }

    /// `C_GetTokenInfo`.
    pub(in crate::pkcs11) fn token_info(&self, slot: CK_SLOT_ID) -> Result<CK_TOKEN_INFO, Error> {
        let (table, mut info) = (&self.table, CK_TOKEN_INFO::default());
        call!(table, GetTokenInfo => C_GetTokenInfo(slot, &raw mut info))?;
        Ok(info)
    }

    /// `C_GetMechanismList`.
    pub(in crate::pkcs11) fn mechanisms(
        &self,
        slot: CK_SLOT_ID,
    ) -> Result<Vec<CK_MECHANISM_TYPE>, Error> {
        let table = &self.table;
        read_list(
            |list, count| call!(table, GetMechanismList => C_GetMechanismList(slot, list, count)),
        )
    }
}

/// The function list of `C_GetInterface` (PKCS#11 3.x). A NULL name and version request the default interface.
fn default_interface(library: &cryptoki_sys::Pkcs11) -> Option<*mut CK_FUNCTION_LIST> {
    library.C_GetInterface.as_ref().ok()?;
    let mut interface: *mut CK_INTERFACE = ptr::null_mut();
    // SAFETY: the symbol exists (checked above; the generated wrapper would panic otherwise), and `interface` is a valid pointer.
    let rv = unsafe { library.C_GetInterface(ptr::null_mut(), ptr::null_mut(), &mut interface, 0) };
    if !matches!(Rv::from(rv), Rv::Ok) || interface.is_null() {
        return None;
    }
    // SAFETY: the pointer is non-null and came with CKR_OK, so PKCS#11 guarantees a static CK_INTERFACE there.
    let list = unsafe { ptr::read_unaligned(interface) }.pFunctionList;
    (!list.is_null()).then(|| list.cast())
}

/// The function list of `C_GetFunctionList`, which every module has.
fn function_list(library: &cryptoki_sys::Pkcs11) -> Option<*mut CK_FUNCTION_LIST> {
    library.C_GetFunctionList.as_ref().ok()?;
    let mut list = ptr::null_mut();
    // SAFETY: the symbol exists (checked above), and `list` is a valid pointer.
    let rv = unsafe { library.C_GetFunctionList(&mut list) };
    (matches!(Rv::from(rv), Rv::Ok) && !list.is_null()).then_some(list)
}

/// A session, for one thread. Dropping this value closes it.
pub(in crate::pkcs11) struct Session {
    functions: Arc<Functions>,
    handle: CK_SESSION_HANDLE,
    _one_thread: PhantomData<Cell<()>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        let table = self.table();
        // If the call fails, the session is already lost.
        let _ = call!(table, CloseSession => C_CloseSession(self.handle));
    }
}

impl Session {
    /// `C_OpenSession`, without callbacks: AWS CloudHSM rejects them.
    pub(in crate::pkcs11) fn open(
        functions: &Arc<Functions>,
        slot: CK_SLOT_ID,
        flags: CK_FLAGS,
    ) -> Result<Self, Error> {
        let (table, none, mut handle) = (&functions.table, ptr::null_mut(), CK_INVALID_HANDLE);
        call!(table, OpenSession => C_OpenSession(slot, flags, none, None, &raw mut handle))?;
        Ok(Self {
            functions: Arc::clone(functions),
            handle,
            _one_thread: PhantomData,
        })
    }

    fn table(&self) -> &CK_FUNCTION_LIST {
        &self.functions.table
    }

    /// `C_Login` of the normal user.
    pub(in crate::pkcs11) fn login(&self, pin: &[u8]) -> Result<(), Error> {
        let (table, text) = (self.table(), pin.as_ptr().cast_mut());
        call!(table, Login => C_Login(self.handle, CKU_USER, text, ulong(pin.len())))
    }

    /// Reads the state with `C_GetSessionInfo`.
    pub(in crate::pkcs11) fn state(&self) -> Result<CK_STATE, Error> {
        let (table, mut info) = (self.table(), CK_SESSION_INFO::default());
        call!(table, GetSessionInfo => C_GetSessionInfo(self.handle, &raw mut info))?;
        Ok(info.state)
    }

    /// Finds the objects with these attributes.
    pub(in crate::pkcs11) fn find_objects(
        &self,
        template: &[Attribute],
    ) -> Result<Vec<ObjectHandle>, Error> {
        let table = self.table();
        let mut template: Vec<CK_ATTRIBUTE> = template.iter().map(Into::into).collect();
        let (first, count) = (template.as_mut_ptr(), ulong(template.len()));
        call!(table, FindObjectsInit => C_FindObjectsInit(self.handle, first, count))?;
        let found = self.found_objects();
        // Also after an error: an open search makes the next one fail.
        let _ = call!(table, FindObjectsFinal => C_FindObjectsFinal(self.handle));
        found
    }

    fn found_objects(&self) -> Result<Vec<ObjectHandle>, Error> {
        let (table, mut found) = (self.table(), Vec::new());
        loop {
            let (mut page, mut count) = ([CK_INVALID_HANDLE; OBJECTS_PER_CALL], 0);
            let (first, capacity) = (page.as_mut_ptr(), ulong(page.len()));
            call!(table, FindObjects => C_FindObjects(self.handle, first, capacity, &raw mut count))?;
            // SAFETY: a number that the module has just returned as a handle.
            let object = |handle| unsafe { ObjectHandle::new_from_raw(handle) };
            let count = usize::try_from(count).unwrap_or(0);
            found.extend(page.into_iter().take(count).map(object));
            if count < OBJECTS_PER_CALL {
                return Ok(found);
            }
            if found.len() > MAX_OBJECTS {
                return Err(Error::Pkcs11(RvError::GeneralError, Function::FindObjects));
            }
        }
    }

    /// `C_GetAttributeValue`. Values and lengths are also written when the call fails.
    pub(in crate::pkcs11) fn read(
        &self,
        object: ObjectHandle,
        wanted: &mut [AttributeRequest],
    ) -> Result<(), Error> {
        let mut template: Vec<_> = wanted.iter_mut().map(AttributeRequest::attribute).collect();
        let (table, first, count) = (self.table(), template.as_mut_ptr(), ulong(template.len()));
        let outcome = call!(table, GetAttributeValue => C_GetAttributeValue(self.handle, object.handle(), first, count));
        for (wanted, attribute) in wanted.iter_mut().zip(&template) {
            wanted.set_length(attribute);
        }
        outcome
    }

    /// `C_GenerateRandom`.
    pub(in crate::pkcs11) fn generate_random_slice(&self, random: &mut [u8]) -> Result<(), Error> {
        let (table, first, length) = (self.table(), random.as_mut_ptr(), ulong(random.len()));
        call!(table, GenerateRandom => C_GenerateRandom(self.handle, first, length))
    }

    /// `C_GenerateKey`, with a mechanism that has no parameters.
    pub(in crate::pkcs11) fn generate_key(
        &self,
        mechanism: CK_MECHANISM_TYPE,
        template: &[Attribute],
    ) -> Result<ObjectHandle, Error> {
        let (table, mut key, mut mechanism) =
            (self.table(), CK_INVALID_HANDLE, plain_mechanism(mechanism));
        let mut template: Vec<CK_ATTRIBUTE> = template.iter().map(Into::into).collect();
        let (first, count) = (template.as_mut_ptr(), ulong(template.len()));
        let (mechanism, made) = (&raw mut mechanism, &raw mut key);
        call!(table, GenerateKey => C_GenerateKey(self.handle, mechanism, first, count, made))?;
        // SAFETY: a number that the module has just returned as a handle.
        Ok(unsafe { ObjectHandle::new_from_raw(key) })
    }

    /// `C_EncryptInit` and `C_Encrypt`. Returns the output length that the module reports, without a check.
    pub(in crate::pkcs11) fn encrypt(
        &self,
        params: GcmParams<'_>,
        key: ObjectHandle,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<CK_ULONG, Error> {
        init_and_call!(self, params, key, input, output, EncryptInit => C_EncryptInit, Encrypt => C_Encrypt)
    }

    /// `C_DecryptInit` and `C_Decrypt`, like [`Self::encrypt`].
    pub(in crate::pkcs11) fn decrypt(
        &self,
        params: GcmParams<'_>,
        key: ObjectHandle,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<CK_ULONG, Error> {
        init_and_call!(self, params, key, input, output, DecryptInit => C_DecryptInit, Decrypt => C_Decrypt)
    }

    /// Encrypts with AES-GCM through the message interface. The module writes IV, ciphertext and tag. Returns the ciphertext length that the
    /// module reports, without a check.
    pub(in crate::pkcs11) fn encrypt_message(
        &self,
        key: ObjectHandle,
        aad: &[u8],
        plaintext: &[u8],
        iv: &mut [u8],
        output: &mut [u8],
        tag: &mut [u8],
    ) -> Result<CK_ULONG, Error> {
        let table = self.functions.messages.as_ref();
        let table = table.ok_or(Error::Missing)?;
        let (mut mechanism, mut length) = (plain_mechanism(CKM_AES_GCM), ulong(output.len()));
        call!(table, MessageEncryptInit => C_MessageEncryptInit(self.handle, &raw mut mechanism, key.handle()))?;
        let mut params = message_params(iv, tag);
        let (params, params_length) = pointer_and_size(&mut params);
        let (aad, aad_length) = (aad.as_ptr().cast_mut(), ulong(aad.len()));
        let (data, data_length) = (plaintext.as_ptr().cast_mut(), ulong(plaintext.len()));
        let (first, filled) = (output.as_mut_ptr(), &raw mut length);
        let encrypted = call!(table, EncryptMessage => C_EncryptMessage(self.handle, params, params_length, aad, aad_length, data, data_length, first, filled ));
        // Ends the operation, also after an error.
        let finished = call!(table, MessageEncryptFinal => C_MessageEncryptFinal(self.handle));
        encrypted.and(finished)?;
        Ok(length)
    }
}
