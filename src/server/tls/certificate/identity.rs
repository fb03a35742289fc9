//! The server's certificate chain with its private key. They are one value, so that a reload never replaces only one of them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::checks::CertificateChecks;
use super::problem::CertificateProblem;
use crate::server::tls::error::TlsError;

/// A certificate chain and the key that belongs to its first certificate. Clones are cheap.
#[derive(Clone)]
pub struct ServerIdentity {
    key: Arc<CertifiedKey>,
    checked: Arc<CertificateChecks>,
    public_names: Arc<[String]>,
    pub(in crate::server) certificate: [u8; 32],
    pub(in crate::server) private_key: [u8; 32],
}

impl std::fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerIdentity")
            .field("checked", &self.checked)
            .finish_non_exhaustive()
    }
}

impl ServerIdentity {
    /// Reads the chain (leaf first) and the key (PKCS#8, PKCS#1 or SEC1), both PEM.
    ///
    /// # Errors
    /// [`TlsError`] when one of the two cannot be read, or when the key is not that of the certificate.
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(certificate).map_err(TlsError::Certificate)?;
        let checked = CertificateChecks::of(&chain).map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(private_key)
            .map_err(|_| TlsError::PrivateKey("holds no PEM private key".into()))?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        Ok(Self {
            key: Arc::new(certified.map_err(tls_error)?),
            checked: Arc::new(checked),
            public_names: Arc::default(),
            certificate: Sha256::digest(certificate).into(),
            private_key: Sha256::digest(private_key).into(),
        })
    }

    /// Sets the host names by which KMS calls the proxy. The common name must cover them.
    #[must_use]
    pub fn for_names(self, public_names: Arc<[String]>) -> Self {
        Self {
            public_names,
            ..self
        }
    }

    /// Returns the host names by which KMS calls the proxy.
    pub fn public_names(&self) -> &[String] {
        &self.public_names
    }

    /// Returns whether both were read from files with the same content.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.certificate, self.private_key) == (other.certificate, other.private_key)
    }

    /// Returns the problems because of which KMS would reject the certificate now.
    pub fn problems(&self) -> Vec<CertificateProblem> {
        self.checked.problems(unix_now(), &self.public_names)
    }

    /// Returns warnings about the certificate, with which KMS may still accept it.
    pub fn warnings(&self) -> &[String] {
        &self.checked.warnings
    }

    /// Returns the start of the certificate's validity, in seconds since 1970.
    pub fn not_before(&self) -> i64 {
        self.checked.not_before
    }

    /// Returns the end of the certificate's validity, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.checked.not_after
    }

    /// Returns chain and key as a value of rustls.
    pub(in crate::server) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// Returns the current time, in seconds since 1970.
pub(in crate::server) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

/// Parses the certificates of a PEM file. A file without a certificate is an error.
pub(in crate::server) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match parsed {
        Ok(certificates) if certificates.is_empty() => Err("holds no PEM certificate".into()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

fn tls_error(error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::KeyMismatch,
        rustls::Error::InvalidCertificate(error) => {
            TlsError::Certificate(format!("is not usable: {error:?}"))
        }
        other => TlsError::PrivateKey(format!("is not usable: {other}")),
    }
}
