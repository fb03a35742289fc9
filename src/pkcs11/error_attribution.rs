//! Attributes errors to the HSM, to a key or to a request.
//!
//! - [`error_class`] lists what each return code may mean. No code alone means that the HSM failed.
//! - [`failure`] has the errors of jobs. [`key_failures`] stores the keys that the HSM rejects.
//!
//! The session that got the error determines the cause: see `sessions/device_session/attribution.rs`.
//!
//! Imports `library`, `token` and `keys`.

pub(in crate::pkcs11) mod error_class;
pub(in crate::pkcs11) mod failure;
pub(in crate::pkcs11) mod key_failures;
