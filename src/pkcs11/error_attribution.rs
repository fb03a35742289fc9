//! Attributes errors to the HSM, to a key or to a request.
//!
//! - [`verdict`] says what a return code may mean; no code by itself means that the HSM failed.
//! - [`failure`] is how a job fails. [`key_failures`] remembers the keys that the HSM rejects.
//!
//! The session that met the error finds out which one it is: see `sessions/device_session/settle.rs`.
//!
//! Imports `library`, `token` and `keys`.

pub(in crate::pkcs11) mod failure;
pub(in crate::pkcs11) mod key_failures;
pub(in crate::pkcs11) mod verdict;
