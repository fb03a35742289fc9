//! Checks with the health key, which KMS never uses. [`probe`] chooses the GCM plan of a token; [`check`] tests that it still works.
//!
//! Imports `library`, `token`, `keys` and `aes_gcm`.

pub(in crate::pkcs11) mod check;
pub(in crate::pkcs11) mod probe;
