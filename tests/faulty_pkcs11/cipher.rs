//! Encryption and decryption. Writes IVs back, rejects functions that a dialect does not support, and sets the return code for a wrong
//! tag.

#![expect(
    unsafe_code,
    reason = "the client's buffers, and calls of the wrapped module"
)]

use std::sync::atomic::Ordering::SeqCst;

use cryptoki_sys::{
    CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_ULONG, CKR_ARGUMENTS_BAD,
    CKR_BUFFER_TOO_SMALL, CKR_FUNCTION_NOT_SUPPORTED, CKR_OPERATION_NOT_INITIALIZED,
};

use crate::control::Function;
use crate::framing::Text;
use crate::gate::{Login, on_session};
use crate::gcm::{self, Operation};
use crate::module::{Answer, Module, call};
use crate::objects::{below, label_of};
use crate::sessions::Session;

/// `C_EncryptInit`.
pub unsafe extern "C" fn encrypt_init(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::EncryptInit,
        session,
        Login::Needed,
        |module, session| {
            let key = below(module, key)?;
            session.key_label = label_of(module, session, key);
            module.fail_key(Function::EncryptInit, session)?;
            // SAFETY: guaranteed by the client.
            unsafe { gcm::start_encrypt(module, session, mechanism, key) }
        },
    )
}

/// `C_DecryptInit`.
pub unsafe extern "C" fn decrypt_init(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::DecryptInit,
        session,
        Login::Needed,
        |module, session| {
            let key = below(module, key)?;
            session.key_label = label_of(module, session, key);
            module.fail_key(Function::DecryptInit, session)?;
            // SAFETY: guaranteed by the client.
            unsafe { gcm::start_decrypt(module, session, mechanism, key) }
        },
    )
}

/// `C_Encrypt`.
pub unsafe extern "C" fn encrypt(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    output: *mut CK_BYTE,
    output_len: *mut CK_ULONG,
) -> CK_ULONG {
    let text = Text {
        data,
        data_len,
        output,
        output_len,
    };
    on_session(
        Function::Encrypt,
        session,
        Login::Needed,
        |module, session| {
            module.fail_key(Function::Encrypt, session)?;
            let answer = text.encrypt(module, session);
            if answer.is_ok() && !output.is_null() {
                // SAFETY: a client of this dialect keeps the memory of the IV until it has the ciphertext.
                unsafe { session.operation.write_back() };
            }
            text.ended(session, answer)
        },
    )
}

/// `C_Decrypt`.
pub unsafe extern "C" fn decrypt(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    output: *mut CK_BYTE,
    output_len: *mut CK_ULONG,
) -> CK_ULONG {
    let text = Text {
        data,
        data_len,
        output,
        output_len,
    };
    on_session(
        Function::Decrypt,
        session,
        Login::Needed,
        |module, session| {
            module.fail_key(Function::Decrypt, session)?;
            let answer = text.decrypt(module, session);
            let answer = match session.operation {
                Operation::Plain | Operation::Strip(_) => {
                    answer.map_err(|code| bad_tag_code(module, code))
                }
                _ => answer,
            };
            text.ended(session, answer)
        },
    )
}

/// `C_EncryptUpdate`. It is not supported in dialects that generate an IV.
pub unsafe extern "C" fn encrypt_update(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    output: *mut CK_BYTE,
    output_len: *mut CK_ULONG,
) -> CK_ULONG {
    on_session(
        Function::EncryptUpdate,
        session,
        Login::Needed,
        |module, session| {
            session.must_be_plain(module)?;
            call!(
                module,
                C_EncryptUpdate(session.real, data, data_len, output, output_len)
            )
        },
    )
}

/// `C_EncryptFinal`, with the same restriction.
pub unsafe extern "C" fn encrypt_final(
    session: CK_SESSION_HANDLE,
    output: *mut CK_BYTE,
    output_len: *mut CK_ULONG,
) -> CK_ULONG {
    on_session(
        Function::EncryptFinal,
        session,
        Login::Needed,
        |module, session| {
            session.must_be_plain(module)?;
            call!(module, C_EncryptFinal(session.real, output, output_len))
        },
    )
}

/// `C_DecryptUpdate`, with the same restriction.
pub unsafe extern "C" fn decrypt_update(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    output: *mut CK_BYTE,
    output_len: *mut CK_ULONG,
) -> CK_ULONG {
    on_session(
        Function::DecryptUpdate,
        session,
        Login::Needed,
        |module, session| {
            session.must_be_plain(module)?;
            call!(
                module,
                C_DecryptUpdate(session.real, data, data_len, output, output_len)
            )
        },
    )
}

impl Session {
    fn must_be_plain(&mut self, module: &Module) -> Answer {
        match self.operation {
            Operation::None | Operation::Plain => Ok(()),
            _ => {
                self.restart(module);
                Err(CKR_FUNCTION_NOT_SUPPORTED)
            }
        }
    }
}

/// Replaces the return code for a ciphertext that fails authentication, if a test has set one.
fn bad_tag_code(module: &Module, code: CK_ULONG) -> CK_ULONG {
    match (module.control.block().bad_tag_code.load(SeqCst), code) {
        (0, code) => code,
        (_, CKR_BUFFER_TOO_SMALL | CKR_OPERATION_NOT_INITIALIZED | CKR_ARGUMENTS_BAD) => code,
        (configured, _) => configured,
    }
}
