//! The four operations of the API, without HTTP and without PKCS#11 (XKS API, "Operations").
//!
//! The path of a request is parsed and its signature is verified before it gets here. The remaining checks are in the order of the specification: state of
//! the key store → quota → key lookup → policy → state and usage of the key → HSM.
//!
//! # Invariants
//! - Before a response to Encrypt with a CDIV is sent, exactly its ciphertext has been decrypted once.
//! - An HSM error is never reported as an invalid ciphertext, and an invalid ciphertext never as an HSM error: see `faults`.

mod call;
mod cost;
mod decrypt;
mod encrypt;
mod faults;
mod health;
mod metadata;

pub use call::{Authorization, Call};
pub use cost::{Answer, Cost};
pub use decrypt::decrypt;
pub use encrypt::encrypt;
pub use health::health;
pub use metadata::key_metadata;

#[cfg(test)]
mod tests;
