//! The server's certificate and key, which may be replaced at any time, one file after the other.
//!
//! # Invariants
//! - A configuration that serves is never refused because of them: what cannot be taken leaves the pair that serves where it is, and everything
//!   else of the configuration takes effect.
//! - A start takes every pair that can be used: a wrong clock at boot must not keep the proxy from starting.

use std::sync::Arc;

use super::document::Document;
use super::files;
use super::report::{CertificateRefusal, Finding};
use super::section::Section;
use crate::server::{CertificateProblem, ServerIdentity, TlsError};

/// Reasons for which a pair cannot be used at all. Those for which KMS would not accept it are those of
/// [`crate::server::ProblemKind::as_str`].
pub const UNUSABLE: [&str; 3] = [UNREADABLE, INVALID, KEY_MISMATCH];

const UNREADABLE: &str = "unreadable";
const INVALID: &str = "invalid";
const KEY_MISMATCH: &str = "key_mismatch";

/// The pair to serve with, for a proxy that KMS calls by these names; none when there is a fault.
pub(super) fn identity(
    section: &Section<'_>,
    public_names: Arc<[String]>,
) -> Option<ServerIdentity> {
    let certificate = section.required_string("certificate", "\"server.pem\"");
    let private_key = section.required_string("private_key", "\"server.key\"");
    let (certificate, private_key) = (certificate?, private_key?);
    let document = section.document();
    let faults_before = document.faults_so_far();
    let serving = document.serving();
    let serving = serving.map(|serving| serving.clone().for_names(Arc::clone(&public_names)));
    let read = pair(section, certificate, private_key);
    let read = read.map(|new| new.for_names(public_names));
    match (read, serving) {
        (Err(_), None) => None,
        (Err(reason), Some(serving)) => {
            let findings = document.take_faults(faults_before);
            Some(kept(document, serving, reason, true, findings))
        }
        (Ok(new), Some(serving)) if !new.is_same(&serving) => Some(accepted(section, new, serving)),
        (Ok(identity), _) => {
            document.note_certificate(|reading| {
                reading.problems = findings(section, &identity.problems());
            });
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
        section.fault(key, error.to_string());
        reason
    })
}

/// The new pair if KMS would accept it; else the one that serves.
fn accepted(section: &Section<'_>, new: ServerIdentity, serving: ServerIdentity) -> ServerIdentity {
    let problems = new.problems();
    match problems.first() {
        None => {
            warn(section, &new);
            new
        }
        Some(first) => {
            let findings = findings(section, &problems);
            let reason = first.kind.as_str();
            kept(section.document(), serving, reason, false, findings)
        }
    }
}

fn kept(
    document: &Document<'_>,
    serving: ServerIdentity,
    reason: &'static str,
    may_be_half_replaced: bool,
    findings: Vec<Finding>,
) -> ServerIdentity {
    document.note_certificate(|reading| {
        reading.refusal = Some(CertificateRefusal {
            reason,
            may_be_half_replaced,
            findings,
        });
    });
    serving
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
