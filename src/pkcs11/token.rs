//! The token that the configuration selects: its slot, its sessions and its login.
//!
//! Imports `library` only.

pub(in crate::pkcs11) mod find;
pub(in crate::pkcs11) mod login;
pub(in crate::pkcs11) mod login_record;
pub(in crate::pkcs11) mod open_error;
pub(in crate::pkcs11) mod slot;
