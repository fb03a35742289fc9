//! Client certificates: the CA and the subject must match (XKS API, "Transport", mTLS).
//!
//! # Invariants
//! - A certificate that fails, for whatever reason, ends in the `handshake_failure` alert: rustls sends that alert for errors
//!   other than `InvalidCertificate`, so each refusal is turned into such an error. The reason goes to the operator's log.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::parse_x509_certificate;

use crate::json_line::OutsideText;

/// Verifies the chain, then the subject.
#[derive(Debug)]
pub(super) struct SubjectVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    subjects: Vec<String>,
}

impl SubjectVerifier {
    /// Accepts what `chain` accepts, if the subject's common name is among `subjects`.
    pub(super) fn new(chain: Arc<dyn ClientCertVerifier>, subjects: Vec<String>) -> Self {
        Self { chain, subjects }
    }

    fn check_subject(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let name = common_name(certificate)
            .ok_or_else(|| refused("its subject has not exactly one common name"))?;
        match self.subjects.contains(&name) {
            true => Ok(()),
            false => {
                let name = OutsideText::from(&*name);
                Err(refused(&format!("its common name is {:?}", name.as_str())))
            }
        }
    }
}

/// The whole subject of the client's certificate, for the audit trail; none when it has shown none.
pub(super) fn subject(chain: Option<&[CertificateDer<'_>]>) -> Option<Arc<str>> {
    let certificate = chain?.first()?;
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    Some(Arc::from(parsed.subject().to_string()))
}

/// The subject's common name; none when there are several, or none.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let mut names = parsed.subject().iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().ok().map(str::to_owned),
        _ => None,
    }
}

fn refused(why: &str) -> Error {
    Error::General(format!("client certificate refused: {why}"))
}

fn refused_by(error: &Error) -> Error {
    refused(&error.to_string())
}

impl ClientCertVerifier for SubjectVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now);
        let verified = verified.map_err(|error| refused_by(&error))?;
        self.check_subject(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self
            .chain
            .verify_tls12_signature(message, certificate, signed);
        verified.map_err(|error| refused_by(&error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self
            .chain
            .verify_tls13_signature(message, certificate, signed);
        verified.map_err(|error| refused_by(&error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
