//! The keys of an open token. [`table`] caches handles and attributes, so that no request searches the token.
//!
//! Imports `library` only.

pub(in crate::pkcs11) mod attributes;
pub(in crate::pkcs11) mod lookup;
pub(in crate::pkcs11) mod object_identity;
pub(in crate::pkcs11) mod objects;
pub(in crate::pkcs11) mod table;
