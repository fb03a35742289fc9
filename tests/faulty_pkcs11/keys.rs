//! Functions that create keys. The returned handles contain the handle epoch.

#![expect(
    unsafe_code,
    reason = "the client's buffers, and calls of the wrapped module"
)]

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_ULONG,
};

use crate::control::Function;
use crate::gate::{Login, on_session};
use crate::module::call;
use crate::objects::{above_at, below};

/// `C_GenerateKey`.
pub unsafe extern "C" fn generate_key(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::GenerateKey,
        session,
        Login::Needed,
        |module, session| {
            call!(
                module,
                C_GenerateKey(session.real, mechanism, template, count, key)
            )?;
            // SAFETY: the wrapped module has just written it.
            unsafe { above_at(module, key) };
            Ok(())
        },
    )
}

/// `C_GenerateKeyPair`.
pub unsafe extern "C" fn generate_key_pair(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    public: *mut CK_ATTRIBUTE,
    public_count: CK_ULONG,
    private: *mut CK_ATTRIBUTE,
    private_count: CK_ULONG,
    public_key: *mut CK_OBJECT_HANDLE,
    private_key: *mut CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::GenerateKeyPair,
        session,
        Login::Needed,
        |module, session| {
            call!(
                module,
                C_GenerateKeyPair(
                    session.real,
                    mechanism,
                    public,
                    public_count,
                    private,
                    private_count,
                    public_key,
                    private_key,
                )
            )?;
            // SAFETY: the wrapped module has just written them.
            unsafe {
                above_at(module, public_key);
                above_at(module, private_key);
            }
            Ok(())
        },
    )
}

/// `C_UnwrapKey`.
pub unsafe extern "C" fn unwrap_key(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    unwrapping_key: CK_OBJECT_HANDLE,
    wrapped: *mut CK_BYTE,
    wrapped_len: CK_ULONG,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::UnwrapKey,
        session,
        Login::Needed,
        |module, session| {
            let unwrapping_key = below(module, unwrapping_key)?;
            call!(
                module,
                C_UnwrapKey(
                    session.real,
                    mechanism,
                    unwrapping_key,
                    wrapped,
                    wrapped_len,
                    template,
                    count,
                    key,
                )
            )?;
            // SAFETY: the wrapped module has just written it.
            unsafe { above_at(module, key) };
            Ok(())
        },
    )
}

/// `C_DeriveKey`.
pub unsafe extern "C" fn derive_key(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    base: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_ULONG {
    on_session(
        Function::DeriveKey,
        session,
        Login::Needed,
        |module, session| {
            let base = below(module, base)?;
            call!(
                module,
                C_DeriveKey(session.real, mechanism, base, template, count, key)
            )?;
            // SAFETY: the wrapped module has just written it, unless the mechanism returns no key.
            unsafe { above_at(module, key) };
            Ok(())
        },
    )
}
