//! What AWS KMS requires of the certificate of an external key store proxy: a root that it trusts, and a common name that covers the endpoint.
//!
//! The list of roots holds the facts of AWS's `TrustedCertificateAuthorities` (repository aws/aws-kms-xksproxy-api-spec, commit a6f33c0f,
//! 145 roots): one line per root, with its SHA-256 fingerprint and its name. AWS may change its list at any time. Because of that, a root that is
//! missing here is at most a warning of the proxy.

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

/// Returns whether the list has a root of this name, such as `C=US, O=Amazon, CN=Amazon Root CA 1`. A name proves nothing: anybody can use it.
pub fn has_root_named(name: &str) -> bool {
    let name = normal_name(name);
    !name.is_empty() && roots().any(|(_, known)| normal_name(known) == name)
}

/// Returns the values of a name in a fixed order and case, because tools write names forwards and backwards, and with different types.
pub fn normal_name(name: &str) -> String {
    let mut values: Vec<String> = name.split(',').map(value).collect();
    values.retain(|value| !value.is_empty());
    values.sort();
    values.join(",")
}

/// The value of a part such as `O="DigiCert`: a comma within a value ends a part, too.
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

/// Returns whether a name of a certificate covers a host name: it is equal, or it is `*.parent` and the host is one label below `parent`.
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
    fn names_are_compared_without_order_case_types_and_quotes() {
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
