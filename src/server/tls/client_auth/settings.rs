//! The settings of client authentication: accepted CAs, accepted subjects, and whether a client must have a certificate.

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use sha2::{Digest, Sha256};
use x509_parser::parse_x509_certificate;

use crate::server::tls::certificate::identity::{certificates, unix_now};
use crate::server::tls::error::{CertificateExpiry, TlsError};

/// The treatment of a client without a verified certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// Its handshake completes; the result is recorded, and policies can use it.
    Optional,
    /// Its handshake fails.
    Required,
}

/// The accepted client certificates: the CA **and** the subject must match.
pub struct ClientAuth {
    pub(in crate::server) mode: ClientAuthMode,
    pub(in crate::server) roots: RootCertStore,
    pub(in crate::server) subjects: Vec<String>,
    pub(in crate::server) expiry: Option<CertificateExpiry>,
    /// A digest of CAs and subjects.
    pub(in crate::server) digest: [u8; 32],
    warnings: Vec<String>,
}

/// Returns the roots of Amazon Trust Services, to which KMS's client certificate chains.
pub fn amazon_trust_services() -> Vec<TrustAnchor<'static>> {
    let is_amazons = |anchor: &&TrustAnchor<'static>| {
        let subject = String::from_utf8_lossy(anchor.subject.as_ref());
        subject.contains("Amazon Root CA") || subject.contains("Starfield Services Root")
    };
    webpki_roots::TLS_SERVER_ROOTS
        .iter()
        .filter(is_amazons)
        .cloned()
        .collect()
}

impl ClientAuth {
    /// Accepts clients whose certificate chains to a CA in `pem` and has one of `subjects` as its common name or as a DNS name of its subject
    /// alternative names. The mode is [`ClientAuthMode::Required`].
    ///
    /// # Errors
    /// [`TlsError::ClientCa`] when `pem` contains no usable certificate.
    pub fn from_pem(pem: &[u8], subjects: Vec<String>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut earliest: Option<i64> = None;
        let mut warnings = Vec::new();
        for certificate in certificates(pem).map_err(TlsError::ClientCa)? {
            let ca = Ca::parse(&certificate).map_err(TlsError::ClientCa)?;
            earliest = Some(earliest.map_or(ca.not_after, |known| known.min(ca.not_after)));
            warnings.extend(ca.warnings(unix_now()));
            let added = roots.add(certificate);
            added.map_err(|error| TlsError::ClientCa(format!("a CA is not usable: {error}")))?;
        }
        let expiry = earliest.map(|unix_seconds| CertificateExpiry {
            role: "client_ca",
            unix_seconds,
        });
        Ok(Self {
            mode: ClientAuthMode::Required,
            digest: digest(pem, &subjects),
            roots,
            subjects,
            expiry,
            warnings,
        })
    }

    /// Accepts clients whose certificate chains to Amazon Trust Services and has one of `subjects`. The mode is [`ClientAuthMode::Required`].
    pub fn amazon(subjects: Vec<String>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.extend(amazon_trust_services());
        Self {
            mode: ClientAuthMode::Required,
            digest: digest(b"amazon-trust-services", &subjects),
            roots,
            subjects,
            expiry: None,
            warnings: Vec::new(),
        }
    }

    /// Returns the same settings in this mode.
    pub fn in_mode(self, mode: ClientAuthMode) -> Self {
        Self { mode, ..self }
    }

    /// Returns warnings about the CAs, such as that one has expired.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn digest(ca: &[u8], subjects: &[String]) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix(ca);
    for subject in subjects {
        digest.update([0]);
        digest.update(subject);
    }
    digest.finalize().into()
}

/// The properties of a CA's certificate.
struct Ca {
    subject: String,
    is_ca: bool,
    not_before: i64,
    not_after: i64,
}

impl Ca {
    fn parse(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = parse_x509_certificate(certificate)
            .map_err(|error| format!("is not an X.509 certificate: {error}"))?;
        Ok(Self {
            subject: parsed.subject().to_string(),
            is_ca: parsed.is_ca(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    fn warnings(&self, now: i64) -> Vec<String> {
        let subject = &self.subject;
        let cases = [
            (now > self.not_after, "has expired"),
            (now < self.not_before, "is not valid yet"),
            (
                !self.is_ca,
                "is not a CA: only a client that sends exactly this certificate could match",
            ),
        ];
        let found = cases.into_iter().filter(|(applies, _)| *applies);
        found
            .map(|(_, problem)| format!("the client CA \"{subject}\" {problem}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    fn warnings(change: impl FnOnce(&mut CertificateParams)) -> Vec<String> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let auth = ClientAuth::from_pem(certificate.pem().as_bytes(), vec![]).unwrap();
        auth.warnings().to_vec()
    }

    #[test]
    fn a_ca_that_cannot_issue_valid_certificates_is_a_warning() {
        assert!(warnings(|_| {}).is_empty());
        let warned =
            |found: &[String], problem: &str| found.len() == 1 && found[0].contains(problem);
        let expired = warnings(|params| params.not_after = date_time_ymd(2020, 1, 1));
        assert!(warned(&expired, "has expired"), "{expired:?}");
        let early = warnings(|params| params.not_before = date_time_ymd(3000, 1, 1));
        assert!(warned(&early, "is not valid yet"), "{early:?}");
        let leaf = warnings(|params| params.is_ca = IsCa::NoCa);
        assert!(warned(&leaf, "is not a CA"), "{leaf:?}");
    }

    #[test]
    fn amazons_roots_are_built_in() {
        assert!(amazon_trust_services().len() >= 4, "Amazon Root CA 1 to 4");
    }
}
