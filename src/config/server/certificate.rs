//! The server's certificate and private key. They may be replaced at any time, one file after the other.
//!
//! # Invariants
//! - A reload never fails because of them: a pair that KMS would not accept leaves the serving pair active, and all other changes
//!   take effect.
//! - A start accepts every usable pair: a wrong clock at boot must not prevent the start.

use std::cell::RefCell;
use std::sync::Arc;

use crate::config::files;
use crate::server::{CertificateProblem, ServerIdentity, TlsError};
use crate::toml_file::{Finding, Section};

/// Reasons why a pair cannot be used. The reasons why KMS would not accept a usable pair are those of
/// [`crate::server::ProblemKind::as_str`].
pub const UNUSABLE: [&str; 3] = [UNREADABLE, INVALID, KEY_MISMATCH];

const UNREADABLE: &str = "unreadable";
const INVALID: &str = "invalid";
const KEY_MISMATCH: &str = "key_mismatch";

/// The findings about the certificate in the files, except errors that make the configuration unusable.
#[derive(Clone, Debug, Default)]
pub struct CertificateReading {
    /// Why KMS would not accept the certificate of the configuration.
    pub problems: Vec<Finding>,
    /// Why the certificate in the files was rejected; the configuration has the serving certificate.
    pub refusal: Option<CertificateRefusal>,
}

/// Why the serving certificate was kept.
#[derive(Clone, Debug)]
pub struct CertificateRefusal {
    /// One word, for the label of a metric.
    pub reason: &'static str,
    /// True if possibly only one of the two files was replaced so far, or a file is possibly incomplete.
    pub may_be_half_replaced: bool,
    /// The errors.
    pub findings: Vec<Finding>,
}

/// The serving certificate, and the findings about the new one.
#[derive(Default)]
pub(in crate::config) struct Certificates {
    serving: Option<ServerIdentity>,
    reading: RefCell<CertificateReading>,
}

impl Certificates {
    /// For a proxy that serves with this certificate; `None` at a start.
    pub(in crate::config) fn serving(serving: Option<ServerIdentity>) -> Self {
        Self {
            serving,
            ..Self::default()
        }
    }

    /// Returns the findings about the new certificate.
    pub(in crate::config) fn into_reading(self) -> CertificateReading {
        self.reading.into_inner()
    }

    /// Records why the new pair was rejected, and returns the serving one.
    fn keep(&self, serving: ServerIdentity, refusal: CertificateRefusal) -> ServerIdentity {
        self.reading.borrow_mut().refusal = Some(refusal);
        serving
    }
}

/// The pair to serve with, for a proxy that KMS calls by these names; `None` if there is an error.
pub(super) fn identity(
    section: &Section<'_>,
    public_names: Arc<[String]>,
    certificates: &Certificates,
) -> Option<ServerIdentity> {
    let certificate = section.required_string("certificate", "\"server.pem\"");
    let private_key = section.required_string("private_key", "\"server.key\"");
    let (certificate, private_key) = (certificate?, private_key?);
    let document = section.document();
    let errors_before = document.error_count();
    let serving = certificates.serving.clone();
    let serving = serving.map(|serving| serving.for_names(Arc::clone(&public_names)));
    let read = pair(section, certificate, private_key);
    let read = read.map(|new| new.for_names(public_names));
    match (read, serving) {
        (Err(_), None) => None,
        (Err(reason), Some(serving)) => {
            let rejection = CertificateRefusal {
                reason,
                may_be_half_replaced: true,
                findings: document.take_errors_after(errors_before),
            };
            Some(certificates.keep(serving, rejection))
        }
        (Ok(new), Some(serving)) if !new.is_same(&serving) => {
            Some(replacement(section, new, serving, certificates))
        }
        (Ok(identity), _) => {
            certificates.reading.borrow_mut().problems = findings(section, &identity.problems());
            warn(section, &identity);
            Some(identity)
        }
    }
}

fn pair(
    section: &Section<'_>,
    certificate: &str,
    private_key: &str,
) -> Result<ServerIdentity, &'static str> {
    let certificate = files::public(section, "certificate", certificate);
    let private_key = files::private(section, "private_key", private_key);
    let (certificate, private_key) = certificate.zip(private_key).ok_or(UNREADABLE)?;
    ServerIdentity::from_pem(&certificate, &private_key).map_err(|error| {
        let (key, reason) = match &error {
            TlsError::KeyMismatch => ("private_key", KEY_MISMATCH),
            TlsError::PrivateKey(_) => ("private_key", INVALID),
            TlsError::Certificate(_) | TlsError::ClientCa(_) => ("certificate", INVALID),
        };
        section.error(key, error.to_string());
        reason
    })
}

/// Returns the new pair if KMS would accept it, otherwise the serving one.
fn replacement(
    section: &Section<'_>,
    new: ServerIdentity,
    serving: ServerIdentity,
    certificates: &Certificates,
) -> ServerIdentity {
    let problems = new.problems();
    match problems.first() {
        None => {
            warn(section, &new);
            new
        }
        Some(first) => {
            let rejection = CertificateRefusal {
                reason: first.kind.as_str(),
                may_be_half_replaced: false,
                findings: findings(section, &problems),
            };
            certificates.keep(serving, rejection)
        }
    }
}

fn findings(section: &Section<'_>, problems: &[CertificateProblem]) -> Vec<Finding> {
    let finding =
        |problem: &CertificateProblem| section.finding("certificate", problem.text.clone());
    problems.iter().map(finding).collect()
}

fn warn(section: &Section<'_>, identity: &ServerIdentity) {
    for warning in identity.warnings() {
        section.warn("certificate", warning);
    }
}
