//! Calls to an XKS proxy as KMS makes them: signed, over TLS with KMS's suites, HTTP/1.1, each step with its time.
//!
//! # Invariants
//! - A secret access key is used to sign, and never shown.
//! - What is sent is what was signed: the body's bytes, the path, the authority.

mod chain;
mod connection;
mod error;
mod tls;

pub use chain::{ChainFault, verify_chain};
pub use connection::{Answer, Caller, Connection, Handshake, refusal};
pub use error::CallError;
pub use tls::{ClientIdentity, TlsClient, Trust, authorities, config as tls_config};
