//! The errors of the TLS settings, and the expiry of their certificates.

use thiserror::Error;

/// An error in certificates or keys, as a text for the operator. It never contains key material.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsError {
    /// The server's certificate chain is wrong.
    #[error("{0}")]
    Certificate(String),
    /// The server's private key is wrong.
    #[error("{0}")]
    PrivateKey(String),
    /// The private key is not that of the certificate.
    #[error("is not the key of the certificate")]
    KeyMismatch,
    /// The client CA is wrong.
    #[error("{0}")]
    ClientCa(String),
}

/// The end of a certificate's validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// `server` or `client_ca`.
    pub role: &'static str,
    /// Seconds since 1970.
    pub unix_seconds: i64,
}
