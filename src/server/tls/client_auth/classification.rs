//! Classifies client certificates (XKS API, "Transport", mTLS): CA, validity, key usage and subject are compared with the configuration.
//!
//! # Invariants
//! - [`ClientCertificate::Verified`] requires that all four match. Only the handshake proves that the client has the private key: see
//!   [`super::verifier`].

use rustls::RootCertStore;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath};
use x509_parser::parse_x509_certificate;

use super::names::{alternative_names, common_name, is_permitted};
use crate::connections::ClientCertificate;
use crate::json_line::OutsideText;

/// The reason of a client certificate's result: the values of the metric label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Reason {
    /// The certificate is verified or absent.
    None,
    UnknownCa,
    Subject,
    Expired,
    NotYetValid,
    /// The extended key usage does not allow client authentication.
    Eku,
    /// The client has not proved that it has the private key.
    Signature,
    Other,
}

/// The result of the classification of a client certificate, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Finding {
    pub result: ClientCertificate,
    pub reason: Reason,
    /// The reason as a text for the operator, of bounded length; empty if the reason is [`Reason::None`].
    pub text: String,
}

/// The properties of a client certificate that metrics show, verified or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Leaf {
    /// The end of its validity, in seconds since 1970.
    pub not_after: i64,
    /// True if its extended key usage allows client authentication.
    pub is_for_clients: bool,
}

/// The expected CA and subjects.
#[derive(Debug)]
pub(in crate::server) struct Expected {
    anchors: Vec<TrustAnchor<'static>>,
    subjects: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Reason {
    pub(in crate::server) const ALL: [Self; 8] = [
        Self::None,
        Self::UnknownCa,
        Self::Subject,
        Self::Expired,
        Self::NotYetValid,
        Self::Eku,
        Self::Signature,
        Self::Other,
    ];

    pub(in crate::server) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::UnknownCa => "unknown_ca",
            Self::Subject => "subject",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Eku => "eku",
            Self::Signature => "signature",
            Self::Other => "other",
        }
    }

    #[expect(deprecated, reason = "webpki still has the variant")]
    fn from_error(error: &Error) -> Self {
        match error {
            // A CA with the expected name and another key is a different CA.
            Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => Self::UnknownCa,
            Error::NameConstraintViolation => Self::Subject,
            Error::CertExpired { .. } => Self::Expired,
            Error::CertNotValidYet { .. } => Self::NotYetValid,
            Error::RequiredEkuNotFound | Error::RequiredEkuNotFoundContext(_) => Self::Eku,
            _ => Self::Other,
        }
    }
}

impl Finding {
    pub(in crate::server) fn absent() -> Self {
        Self::new(ClientCertificate::Absent, Reason::None, String::new())
    }

    /// The result when the client has not proved that it has the private key.
    pub(in crate::server) fn bad_signature(text: String) -> Self {
        Self::new(ClientCertificate::Unverified, Reason::Signature, text)
    }

    fn verified() -> Self {
        Self::new(ClientCertificate::Verified, Reason::None, String::new())
    }

    fn unverified(reason: Reason, text: String) -> Self {
        Self::new(ClientCertificate::Unverified, reason, text)
    }

    fn new(result: ClientCertificate, reason: Reason, text: String) -> Self {
        Self {
            result,
            reason,
            text,
        }
    }
}

impl Leaf {
    /// Reads the properties from the certificate; `None` if it cannot be parsed.
    pub(in crate::server) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let is_for_clients = match parsed.extended_key_usage() {
            Ok(Some(usage)) => usage.value.client_auth,
            Ok(None) => true,
            Err(_) => false,
        };
        Some(Self {
            not_after: parsed.validity().not_after.timestamp(),
            is_for_clients,
        })
    }
}

impl Expected {
    /// Expects certificates of these CAs with one of these subjects.
    pub(in crate::server) fn new(
        roots: &RootCertStore,
        subjects: Vec<String>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self {
            anchors: roots.roots.clone(),
            subjects,
            algorithms,
        }
    }

    /// Classifies a certificate that the client sent with this chain. The result is [`ClientCertificate::ServerAuthOnly`] if only the extended key
    /// usage clientAuth is missing, in the certificate or in one of its CAs.
    pub(in crate::server) fn classify(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Finding {
        let for_clients = self.check(leaf, chain, now, KeyUsage::client_auth());
        let Err(failed) = for_clients else {
            return self.check_subject(leaf, Finding::verified());
        };
        if failed.reason != Reason::Eku {
            return failed;
        }
        match self.check(leaf, chain, now, KeyUsage::server_auth()) {
            Ok(()) => {
                let result = ClientCertificate::ServerAuthOnly;
                let text = "it is for servers only: it lacks the extended key usage clientAuth";
                self.check_subject(leaf, Finding::new(result, Reason::Eku, text.to_owned()))
            }
            Err(other) => other,
        }
    }

    /// Checks chain, validity, key usage and name constraints.
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Finding> {
        let name = self.constrained_name(leaf);
        let check_name = |path: &VerifiedPath<'_>| match &name {
            Some(name) if !is_permitted(path, name) => Err(Error::NameConstraintViolation),
            _ => Ok(()),
        };
        let checked = EndEntityCert::try_from(leaf).and_then(|leaf| {
            let algorithms = self.algorithms.all;
            let path = leaf.verify_for_usage(
                algorithms,
                &self.anchors,
                chain,
                now,
                usage,
                None,
                Some(&check_name),
            );
            path.map(drop)
        });
        checked.map_err(|error| Finding::unverified(Reason::from_error(&error), error.to_string()))
    }

    /// Returns the common name if only it matches a subject. Its name constraints are checked here, those of alternative names by webpki.
    fn constrained_name(&self, leaf: &CertificateDer<'_>) -> Option<String> {
        let name = common_name(leaf).filter(|name| self.subjects.contains(name));
        name.filter(|_| !self.has_alternative_name(leaf))
    }

    fn has_alternative_name(&self, leaf: &CertificateDer<'_>) -> bool {
        let is_expected = |name: &String| {
            let mut subjects = self.subjects.iter();
            subjects.any(|subject| subject.eq_ignore_ascii_case(name))
        };
        alternative_names(leaf).iter().any(is_expected)
    }

    /// Returns `finding` if the certificate has an expected subject.
    fn check_subject(&self, leaf: &CertificateDer<'_>, finding: Finding) -> Finding {
        let name = common_name(leaf);
        let has_name = name
            .as_ref()
            .is_some_and(|name| self.subjects.contains(name));
        if has_name || self.has_alternative_name(leaf) {
            return finding;
        }
        let text = match name {
            None => "neither a common name nor an alternative name is one of the subjects".into(),
            Some(name) => {
                let name = OutsideText::from(&*name);
                format!("its common name is {:?}", name.as_str())
            }
        };
        Finding::unverified(Reason::Subject, text)
    }
}

#[cfg(test)]
mod tests;
