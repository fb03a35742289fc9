//! What an operator's command does on a token: lists its keys, makes one, finds out whether two tokens hold the same one, checks what
//! the token has sealed.
//!
//! For a worker that a command started: it calls the device and waits. A worker that serves never comes here.
//!
//! It may import all other parts of [`crate::pkcs11`] except `worker_state`, `sessions` and `health_monitor`.
//!
//! # Invariants
//! - A PIN is tried once, with the permission of the command: however many `[[hsm]]` mean this token.
//! - No key is changed or deleted, and none is made where its label or its id is taken.
//! - What is encrypted here is a constant that everybody knows.

mod inspection;
mod keygen;
mod open_token;
mod proof;

pub use inspection::{KeyObject, TokenKeys};
pub use keygen::CreateKeyError;
pub use open_token::{AdministrationError, OpenToken};
