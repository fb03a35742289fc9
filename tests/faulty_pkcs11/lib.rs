//! A PKCS#11 module for tests. It wraps a real module and injects faults.
//!
//! It behaves exactly like the wrapped module until a test changes the control file. README.md lists the environment variables, the
//! dialects, the controls and the counters.
//!
//! A call passes these modules in order: an entry point (`token`, `objects`, `keys`, `cipher`, `passed_on`) → `gate` (counts, hangs,
//! delays, fails) → `events` (sessions or login lost, library finalized) → `sessions` → the dialect in `gcm` and `framing` → the wrapped
//! module.
//!
//! *Invariants*: no panic unwinds into the client. The wrapped module never gets two calls at once on one session, and no call while it
//! is finalized. The module assumes a 64-bit Unix, where `CK_ULONG` is a `u64`.

#![expect(unsafe_code, reason = "exports the symbol that PKCS#11 clients use")]

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
        // SAFETY: guaranteed by the caller.
        let functions = unsafe { functions.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)?;
        *functions = (&raw const list::FUNCTIONS).cast_mut();
        Ok(())
    })
}
