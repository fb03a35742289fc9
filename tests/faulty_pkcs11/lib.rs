//! A PKCS#11 module for tests that wraps a real one and misbehaves on command.
//!
//! It behaves exactly like the wrapped module until a test writes something else into the control
//! file. README.md lists the environment, the dialects and what can be steered and read.
//!
//! A call walks through the rooms in this order: an entry (`token`, `objects`, `keys`, `cipher`,
//! `passed_on`) → `gate` (counted, hung, delayed, failed) → `events` (sessions or login lost,
//! library finalized) → `sessions` → the dialect in `gcm` and `framing` → the
//! wrapped module.
//!
//! *Invariants*: nothing unwinds into the client; the wrapped module never sees two calls at once
//! on one session, nor any call while it is finalized. It assumes a 64-bit Unix, where `CK_ULONG`
//! is a `u64`.

#![expect(unsafe_code, reason = "the one symbol that PKCS#11 clients look for")]

mod cipher;
mod control;
mod environment;
mod events;
mod framing;
mod gate;
mod gcm;
mod keys;
mod lies;
mod list;
mod misdeeds;
mod module;
mod objects;
mod passed_on;
mod sessions;
mod token;

use cryptoki_sys::{CK_FUNCTION_LIST, CK_ULONG, CKR_ARGUMENTS_BAD};

/// The only entry point: PKCS#11 2.40, so no `C_GetInterface`.
///
/// # Safety
/// `functions` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(functions: *mut *mut CK_FUNCTION_LIST) -> CK_ULONG {
    gate::on_module(control::Function::GetFunctionList, |_| {
        // SAFETY: the caller's promise.
        let functions = unsafe { functions.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)?;
        *functions = (&raw const list::FUNCTIONS).cast_mut();
        Ok(())
    })
}
