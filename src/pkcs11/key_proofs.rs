//! Proofs that keys can encrypt and decrypt, and the results.
//!
//! The health monitor makes the proofs and writes their results; sessions only read the results.
//!
//! Imports `library`, `aes_gcm`, `health_key` and `error_attribution`.

pub(in crate::pkcs11) mod memory;
pub(in crate::pkcs11) mod proof;
pub(in crate::pkcs11) mod rejections;
pub(in crate::pkcs11) mod watch_list;
