//! AES-GCM on a session, with the parameter block and the IV that the token needs.
//!
//! - [`mechanisms`] reads which AES-GCM mechanisms the token has.
//! - [`profile`] lists the possible ways to call AES-GCM, each a `Plan`.
//! - [`gcm`] encrypts and decrypts by a plan and checks the output.
//! - [`call`] makes the calls.
//!
//! Imports `library` and `token`.

pub(in crate::pkcs11) mod call;
pub(in crate::pkcs11) mod gcm;
pub(in crate::pkcs11) mod mechanisms;
pub(in crate::pkcs11) mod profile;
