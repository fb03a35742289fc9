//! Client authentication during one handshake: the certificate, and the proof that the client has its private key.
//!
//! # Invariants
//! - In mode required a certificate that is not verified ends in the `handshake_failure` alert. rustls sends that alert for every error except
//!   `InvalidCertificate`, so each refusal becomes another error. The reason goes to the operator's log.
//! - In mode optional the handshake completes. A certificate is verified only if the signature of the handshake was checked and is right.
//! - Each connection has a [`ClientHandshake`] of its own, so that no result reaches another connection. Sessions are not resumed, see
//!   [`crate::server::tls::settings`].

use std::sync::{Arc, Mutex, MutexGuard};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::classification::{Expected, Finding, Leaf};
use super::settings::ClientAuthMode;
use crate::connections::ClientCertificate;
use crate::sync::poisoned;

/// The remedy for a refusal, for the operator.
const REMEDY: &str = "server.tls.client_auth.mode is \"required\"; with \"optional\" such a client would reach the check of its signature";

/// What all handshakes under one configuration share.
#[derive(Debug)]
pub(in crate::server) struct ClientRules {
    pub mode: ClientAuthMode,
    expected: Expected,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Client authentication of one connection.
#[derive(Debug)]
pub(in crate::server) struct ClientHandshake {
    rules: Arc<ClientRules>,
    seen: Mutex<Option<Seen>>,
}

/// The certificate that the client has sent.
#[derive(Clone, Debug)]
struct Seen {
    finding: Finding,
    leaf: Option<Leaf>,
    /// Whether the signature of the handshake was checked and is right.
    has_key: bool,
}

impl ClientRules {
    pub(in crate::server) fn new(
        mode: ClientAuthMode,
        roots: &RootCertStore,
        subjects: Vec<String>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self {
            mode,
            expected: Expected::new(roots, subjects, algorithms),
            hints: roots.subjects(),
            algorithms,
        }
    }
}

impl ClientHandshake {
    /// For a connection that begins.
    pub(in crate::server) fn new(rules: Arc<ClientRules>) -> Self {
        let seen = Mutex::default();
        Self { rules, seen }
    }

    /// Returns what was found, once the handshake has completed, and the facts of the certificate.
    pub(in crate::server) fn finding(&self) -> (Finding, Option<Leaf>) {
        let Some(seen) = self.lock().clone() else {
            return (Finding::absent(), None);
        };
        let finding = match seen.has_key {
            true => seen.finding,
            false => unproved(seen.finding),
        };
        (finding, seen.leaf)
    }

    /// Returns what was found, if the handshake ended with `error` because of that.
    pub(in crate::server) fn refusal(&self, error: &Error) -> Option<(Finding, Option<Leaf>)> {
        if *error == Error::NoCertificatesPresented {
            return Some((Finding::absent(), None));
        }
        let seen = self.lock().clone();
        let seen = seen.filter(|_| self.rules.mode == ClientAuthMode::Required)?;
        let is_refused = seen.finding.result != ClientCertificate::Verified;
        is_refused.then_some((seen.finding, seen.leaf))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(poisoned)
    }

    /// Notes the outcome of the check of the handshake's signature.
    fn note_signature(
        &self,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let mut seen = self.lock();
        // rustls verifies the certificate before.
        let seen = seen.as_mut().ok_or_else(|| refused("it was not checked"))?;
        seen.has_key = checked.is_ok();
        let Err(error) = checked else {
            return checked;
        };
        seen.finding = Finding::bad_signature(error.to_string());
        match self.rules.mode {
            ClientAuthMode::Required => Err(refused(&seen.finding.text)),
            ClientAuthMode::Optional => Ok(HandshakeSignatureValid::assertion()),
        }
    }
}

/// What remains of a finding if nothing shows that the client has the key.
fn unproved(finding: Finding) -> Finding {
    match finding.result {
        ClientCertificate::Verified | ClientCertificate::ServerAuthOnly => {
            Finding::bad_signature("the client has not signed the handshake".to_owned())
        }
        _ => finding,
    }
}

/// The error text of a handshake that ends because of the client certificate, for the log.
pub(in crate::server) fn refusal_text(why: &str) -> String {
    format!("client certificate refused: {why}; {REMEDY}")
}

fn refused(why: &str) -> Error {
    Error::General(refusal_text(why))
}

impl ClientCertVerifier for ClientHandshake {
    fn client_auth_mandatory(&self) -> bool {
        self.rules.mode == ClientAuthMode::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.rules.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let finding = self.rules.expected.classify(end_entity, intermediates, now);
        let is_verified = finding.result == ClientCertificate::Verified;
        let text = finding.text.clone();
        *self.lock() = Some(Seen {
            finding,
            leaf: Leaf::of(end_entity),
            has_key: false,
        });
        match is_verified || self.rules.mode == ClientAuthMode::Optional {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(refused(&text)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.rules.algorithms;
        self.note_signature(verify_tls12_signature(
            message,
            certificate,
            signed,
            algorithms,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.rules.algorithms;
        self.note_signature(verify_tls13_signature(
            message,
            certificate,
            signed,
            algorithms,
        ))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules.algorithms.supported_schemes()
    }
}
