//! What the settings of TLS tell: what is wrong with them, and when certificates end.

use thiserror::Error;

/// An error in certificates or keys, in words for an operator. Never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsError {
    /// The server's certificate chain.
    #[error("{0}")]
    Certificate(String),
    /// The server's private key.
    #[error("{0}")]
    PrivateKey(String),
    /// Each of the two can be used, but not together.
    #[error("is not the key of the certificate")]
    KeyMismatch,
    /// The client CA.
    #[error("{0}")]
    ClientCa(String),
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// `server` or `client_ca`.
    pub role: &'static str,
    /// Seconds since 1970.
    pub unix_seconds: i64,
}
