//! The names in a client certificate, and the name constraints of its CAs.
//!
//! # Invariants
//! - The name constraints of a CA also apply to the common name. webpki applies them to the subject alternative names only.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::VerifiedPath;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints, ParsedExtension};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer as _;

/// The tag of a DER SEQUENCE.
const SEQUENCE: u8 = 0x30;

/// Returns the whole subject of a client certificate, for the audit trail; `None` if the certificate cannot be parsed.
pub(in crate::server) fn subject(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    Some(Arc::from(parsed.subject().to_string()))
}

/// Returns the subject's common name; `None` unless there is exactly one.
pub(in crate::server) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let mut names = parsed.subject().iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().ok().map(str::to_owned),
        _ => None,
    }
}

/// Returns the DNS names among the subject alternative names.
pub(in crate::server) fn alternative_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(extension)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

/// Returns whether the name constraints of every CA of the path permit this DNS name. Constraints that cannot be read permit no name.
pub(in crate::server) fn is_permitted(path: &VerifiedPath<'_>, name: &str) -> bool {
    let mut intermediates = path.intermediate_certificates();
    anchor_permits(path.anchor(), name)
        && intermediates.all(|certificate| ca_permits(&certificate.der(), name))
}

fn anchor_permits(anchor: &TrustAnchor<'_>, name: &str) -> bool {
    let Some(content) = &anchor.name_constraints else {
        return true;
    };
    // webpki keeps the content of the SEQUENCE without its header.
    let Some(constraints) = sequence(content.as_ref()) else {
        return false;
    };
    match NameConstraints::from_der(&constraints) {
        Ok((_, constraints)) => permits(&constraints, name),
        Err(_) => false,
    }
}

fn ca_permits(ca: &CertificateDer<'_>, name: &str) -> bool {
    let Ok((_, parsed)) = parse_x509_certificate(ca) else {
        return false;
    };
    parsed
        .extensions()
        .iter()
        .all(|extension| match extension.parsed_extension() {
            ParsedExtension::NameConstraints(constraints) => permits(constraints, name),
            ParsedExtension::ParseError { .. } => false,
            _ => true,
        })
}

fn permits(constraints: &NameConstraints<'_>, name: &str) -> bool {
    let permitted = dns_names(constraints.permitted_subtrees.as_deref());
    let excluded = dns_names(constraints.excluded_subtrees.as_deref());
    let contains_name = |subtree: &&str| is_within(name, subtree);
    (permitted.is_empty() || permitted.iter().any(contains_name))
        && !excluded.iter().any(contains_name)
}

fn dns_names<'a>(subtrees: Option<&[GeneralSubtree<'a>]>) -> Vec<&'a str> {
    let subtrees = subtrees.unwrap_or_default().iter();
    subtrees
        .filter_map(|subtree| match subtree.base {
            GeneralName::DNSName(name) => Some(name),
            _ => None,
        })
        .collect()
}

/// Returns whether `name` is `subtree` or below it (RFC 5280, section 4.2.1.10). With a leading dot it must be below.
fn is_within(name: &str, subtree: &str) -> bool {
    let (name, subtree) = (name.to_ascii_lowercase(), subtree.to_ascii_lowercase());
    match name.strip_suffix(&subtree) {
        _ if subtree.is_empty() => true,
        None => false,
        Some("") => true,
        Some(rest) => subtree.starts_with('.') || rest.ends_with('.'),
    }
}

/// Returns the SEQUENCE with this content; `None` if the content is longer than 65,535 bytes.
fn sequence(content: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(content.len()).ok()?;
    let [high, low] = length.to_be_bytes();
    let header: &[u8] = match length {
        0..=0x7f => &[SEQUENCE, low],
        0x80..=0xff => &[SEQUENCE, 0x81, low],
        _ => &[SEQUENCE, 0x82, high, low],
    };
    Some([header, content].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtree_is_a_name_and_the_names_below_it() {
        for (name, subtree, is_in) in [
            ("a.example.com", "example.com", true),
            ("example.com", "example.com", true),
            ("A.Example.COM", "example.com", true),
            ("a.example.com", ".example.com", true),
            ("example.com", ".example.com", false),
            ("anexample.com", "example.com", false),
            ("example.com.evil.test", "example.com", false),
            ("anything", "", true),
        ] {
            assert_eq!(is_within(name, subtree), is_in, "{name} in {subtree}");
        }
    }

    #[test]
    fn a_sequence_has_the_shortest_header() {
        for (length, header) in [
            (3, vec![0x30, 3]),
            (0x7f, vec![0x30, 0x7f]),
            (0x80, vec![0x30, 0x81, 0x80]),
            (0x1234, vec![0x30, 0x82, 0x12, 0x34]),
        ] {
            let made = sequence(&vec![7; length]).unwrap();
            assert_eq!(made[..header.len()], header);
            assert_eq!(made.len(), header.len() + length);
        }
        assert_eq!(sequence(&vec![7; 0x1_0000]), None);
    }
}
