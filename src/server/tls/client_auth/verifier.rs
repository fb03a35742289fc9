//! Client authentication during one handshake: checks the certificate, and the proof that the client has its private key.
//!
//! # Invariants
//! - In mode required, a certificate that is not verified causes the alert `handshake_failure`. rustls sends that alert for every error except
//!   `InvalidCertificate`, so this verifier returns a different error. The log has the reason.
//! - In mode optional, the handshake completes. A certificate is verified only if the signature of the handshake was checked and is right.
//! - Each connection has its own [`ClientHandshake`], so no result reaches another connection. Sessions are not resumed, see
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

/// The advice to the operator about a rejected client.
const ADVICE: &str = "server.tls.client_auth.mode is \"required\"; with \"optional\" such a client is served if its requests are signed";

/// The rules for all handshakes under one configuration.
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
    received: Mutex<Option<Received>>,
}

/// The certificate that the client has sent.
#[derive(Clone, Debug)]
struct Received {
    finding: Finding,
    leaf: Option<Leaf>,
    /// True if the signature of the handshake was checked and is right.
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
    /// Creates the verifier of a new connection.
    pub(in crate::server) fn new(rules: Arc<ClientRules>) -> Self {
        let received = Mutex::default();
        Self { rules, received }
    }

    /// Returns the result of a handshake that has completed, and the properties of the certificate.
    pub(in crate::server) fn finding(&self) -> (Finding, Option<Leaf>) {
        let Some(received) = self.lock().clone() else {
            return (Finding::absent(), None);
        };
        let finding = match received.has_key {
            true => received.finding,
            false => without_key_proof(received.finding),
        };
        (finding, received.leaf)
    }

    /// Returns the result of a handshake that failed with `error`, if the client certificate was the cause.
    pub(in crate::server) fn rejection(&self, error: &Error) -> Option<(Finding, Option<Leaf>)> {
        if *error == Error::NoCertificatesPresented {
            return Some((Finding::absent(), None));
        }
        let received = self.lock().clone();
        let received = received.filter(|_| self.rules.mode == ClientAuthMode::Required)?;
        let is_rejected = received.finding.result != ClientCertificate::Verified;
        is_rejected.then_some((received.finding, received.leaf))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Received>> {
        self.received.lock().unwrap_or_else(poisoned)
    }

    /// Records the result of the check of the handshake's signature.
    fn note_signature(
        &self,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let mut received = self.lock();
        // rustls verifies the certificate before the signature.
        let received = received
            .as_mut()
            .ok_or_else(|| rejection("it was not checked"))?;
        received.has_key = checked.is_ok();
        let Err(error) = checked else {
            return checked;
        };
        received.finding = Finding::bad_signature(error.to_string());
        match self.rules.mode {
            ClientAuthMode::Required => Err(rejection(&received.finding.text)),
            ClientAuthMode::Optional => Ok(HandshakeSignatureValid::assertion()),
        }
    }
}

/// Returns the finding of a client that has not proved that it has the key.
fn without_key_proof(finding: Finding) -> Finding {
    match finding.result {
        ClientCertificate::Verified | ClientCertificate::ServerAuthOnly => {
            Finding::bad_signature("the client has not signed the handshake".to_owned())
        }
        _ => finding,
    }
}

/// Returns the log text about a handshake that failed because of the client certificate.
pub(in crate::server) fn rejection_text(reason: &str) -> String {
    format!("client certificate rejected: {reason}; {ADVICE}")
}

fn rejection(reason: &str) -> Error {
    Error::General(rejection_text(reason))
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
        *self.lock() = Some(Received {
            finding,
            leaf: Leaf::of(end_entity),
            has_key: false,
        });
        match is_verified || self.rules.mode == ClientAuthMode::Optional {
            true => Ok(ClientCertVerified::assertion()),
            false => Err(rejection(&text)),
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
