//! Signed calls to an XKS proxy as KMS makes them: TLS with KMS's suites, HTTP/1.1. Each step is timed.
//!
//! # Invariants
//! - A secret access key signs requests. It is never shown.
//! - The request that is sent is the request that was signed: body bytes, path and authority.

mod chain;
mod connection;
mod error;
mod tls;

pub use chain::{ChainError, verify_chain};
pub use connection::{Answer, Caller, Connection, Handshake, error_text};
pub use error::CallError;
pub use tls::{ClientIdentity, TlsClient, Trust, authorities, config as tls_config};
