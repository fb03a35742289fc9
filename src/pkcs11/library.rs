//! The PKCS#11 library: its functions, its errors and its C structures. Only [`ffi`] has `unsafe` code.
//!
//! Imports no other part of [`crate::pkcs11`].

pub(in crate::pkcs11) mod attributes;
pub(in crate::pkcs11) mod codes;
pub(in crate::pkcs11) mod errors;
pub(in crate::pkcs11) mod ffi;
pub(in crate::pkcs11) mod module;
pub(in crate::pkcs11) mod structures;
