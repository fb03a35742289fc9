//! Operator commands on a token: list the keys, create a key, test whether two tokens have the same key, verify HSM signatures of the
//! audit log.
//!
//! Only workers of operator commands use this part. Its functions call the device and block.
//!
//! It may import all other parts of [`crate::pkcs11`] except `worker_state`, `sessions` and `health_monitor`.
//!
//! # Invariants
//! - A PIN is tried once, with the permission of the command, also if several `[[hsm]]` tables select this token.
//! - No key is changed or deleted. No key is created if its label or its id is in use.
//! - Only a public constant is encrypted.

mod inspection;
mod keygen;
mod open_token;
mod proof;

pub use inspection::{KeyObject, TokenKeys};
pub use keygen::CreateKeyError;
pub use open_token::{AdministrationError, OpenToken};
