//! The requirements of AWS KMS for the certificate of an external key store proxy: a trusted root, and a common name that covers the endpoint.
//!
//! The list of roots has one line per root, with its SHA-256 fingerprint and its name. Its source is `TrustedCertificateAuthorities` of AWS
//! (repository aws/aws-kms-xksproxy-api-spec, commit a6f33c0f, 145 roots). AWS may change its list at any time. Therefore the proxy only warns
//! about a root that is not in the list.

use sha2::{Digest, Sha256};

/// `<SHA-256 fingerprint in lower case> <name>` in each line.
const LIST: &str = include_str!("kms_certificate/roots.txt");

/// Returns every root as its SHA-256 fingerprint (lower case hexadecimal) and its name.
pub fn roots() -> impl Iterator<Item = (&'static str, &'static str)> {
    LIST.lines().filter_map(|line| line.split_once(' '))
}

/// Returns whether this certificate (DER) is a root of the list.
pub fn is_root(der: &[u8]) -> bool {
    let digest = Sha256::digest(der);
    let fingerprint = crate::hex::encode(&digest);
    roots().any(|(known, _)| known == fingerprint)
}

/// Returns whether the list has a root with this name, such as `C=US, O=Amazon, CN=Amazon Root CA 1`. A match does not prove that the
/// certificate is that root, because any CA can use the name.
pub fn has_root_named(name: &str) -> bool {
    let name = normal_name(name);
    !name.is_empty() && roots().any(|(_, known)| normal_name(known) == name)
}

/// Returns the values of a name in a fixed order and in lower case, because tools write names in both orders and with different types.
pub fn normal_name(name: &str) -> String {
    let mut values: Vec<String> = name.split(',').map(value).collect();
    values.retain(|value| !value.is_empty());
    values.sort();
    values.join(",")
}

/// Returns the value of a part such as `O="DigiCert`. The parts are separated at every comma, even inside quotes.
fn value(part: &str) -> String {
    let is_type = |kind: &str| {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '.';
        kind.trim().chars().all(is_legal)
    };
    let value = match part.split_once('=') {
        Some((kind, value)) if is_type(kind) => value,
        _ => part,
    };
    value.trim().trim_matches('"').trim().to_lowercase()
}

/// Returns whether a name of a certificate covers a host name. It does if both are equal, or if the name is `*.parent` and the host is one
/// label below `parent`.
pub fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(host),
        Some(parent) => {
            let rest = host.split_once('.').map(|(_, rest)| rest);
            rest.is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_root_has_a_fingerprint_and_a_name() {
        let all: Vec<_> = roots().collect();
        assert_eq!((all.len(), LIST.lines().count()), (145, 145));
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        for (fingerprint, name) in &all {
            assert!(fingerprint.len() == 64 && fingerprint.bytes().all(is_digit));
            assert!(name.contains("O=") || name.contains("CN="), "{name}");
        }
        let names: HashSet<String> = all.iter().map(|(_, name)| normal_name(name)).collect();
        assert_eq!(names.len(), all.len(), "no name is there twice");
    }

    #[test]
    fn comparison_of_names_ignores_order_case_types_and_quotes() {
        assert!(has_root_named("CN=Amazon Root CA 1, O=Amazon, C=US"));
        assert!(has_root_named("C=us,O=amazon,CN=amazon root ca 1"));
        assert!(has_root_named(
            "CN=DigiCert TLS ECC P384 Root G5, O=\"DigiCert, Inc.\", C=US"
        ));
        assert!(has_root_named(
            "C=ES, O=FNMT-RCM, OU=Ceres, organizationIdentifier=VATES-Q2826004J, CN=AC RAIZ FNMT-RCM SERVIDORES SEGUROS"
        ));
        assert!(!has_root_named("CN=Amazon Root CA 9, O=Amazon, C=US"));
        assert!(!has_root_named("") && !has_root_named(" , "));
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        assert!(covers("xks.example.com", "XKS.example.com"));
        assert!(covers("*.Example.com", "xks.example.com"));
        for (name, host) in [
            ("*.example.com", "example.com"),
            ("*.example.com", "a.b.example.com"),
            ("example.com", "xks.example.com"),
            ("x*.example.com", "xks.example.com"),
            ("", "xks.example.com"),
        ] {
            assert!(!covers(name, host), "{name} {host}");
        }
    }

    #[test]
    fn a_certificate_is_a_root_by_its_fingerprint() {
        assert!(!is_root(b"no certificate"));
    }
}
