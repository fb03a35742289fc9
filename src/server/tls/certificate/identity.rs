//! The server's certificate chain with its private key: one value, so that no half of a pair is ever taken.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::checks::Checked;
use super::problem::CertificateProblem;
use crate::server::tls::error::TlsError;

/// A certificate chain and the key that belongs to its first certificate. Clones are cheap.
#[derive(Clone)]
pub struct ServerIdentity {
    key: Arc<CertifiedKey>,
    checked: Arc<Checked>,
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
    /// The chain (leaf first) and the key (PKCS#8, PKCS#1 or SEC1), both PEM.
    ///
    /// # Errors
    /// [`TlsError`]: which of the two cannot be read, or that they do not belong together.
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(certificate).map_err(TlsError::Certificate)?;
        let checked = Checked::of(&chain).map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(private_key)
            .map_err(|_| TlsError::PrivateKey("holds no PEM private key".into()))?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        Ok(Self {
            key: Arc::new(key.map_err(of_key_pair)?),
            checked: Arc::new(checked),
            public_names: Arc::default(),
            certificate: Sha256::digest(certificate).into(),
            private_key: Sha256::digest(private_key).into(),
        })
    }

    /// The same for a proxy that KMS calls by these host names, which the common name must cover.
    #[must_use]
    pub fn for_names(self, public_names: Arc<[String]>) -> Self {
        Self {
            public_names,
            ..self
        }
    }

    /// The host names by which KMS calls the proxy.
    pub fn public_names(&self) -> &[String] {
        &self.public_names
    }

    /// Whether it was made of the same files.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.certificate, self.private_key) == (other.certificate, other.private_key)
    }

    /// Why KMS would not accept the certificate now.
    pub fn problems(&self) -> Vec<CertificateProblem> {
        self.checked.problems(unix_now(), &self.public_names)
    }

    /// What should be known about the certificate, although KMS may accept it.
    pub fn warnings(&self) -> &[String] {
        &self.checked.warnings
    }

    /// When the certificate becomes valid, in seconds since 1970.
    pub fn not_before(&self) -> i64 {
        self.checked.not_before
    }

    /// When the certificate ends, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.checked.not_after
    }

    /// As rustls takes it.
    pub(in crate::server) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// This moment, in seconds since 1970.
pub(in crate::server) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

/// The certificates in a PEM file, at least one.
pub(in crate::server) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match parsed {
        Ok(certificates) if certificates.is_empty() => Err("holds no PEM certificate".into()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

fn of_key_pair(error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::KeyMismatch,
        rustls::Error::InvalidCertificate(error) => {
            TlsError::Certificate(format!("is not usable: {error:?}"))
        }
        other => TlsError::PrivateKey(format!("is not usable: {other}")),
    }
}
