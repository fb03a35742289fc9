//! A client certificate's subject (DER), compared with RustCrypto's parser for certificates that both can parse.
//!
//! - A common name that identifies a client is the only one, with exactly these bytes.
//! - No input is a certificate of Amazon's CAs, neither alone nor as its own issuer.
//! - The only common name is found in each of the string types that X.509 prescribes for new certificates.

use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Tag, Tagged};
use xks_proxy::connections::ClientCertificate;
use xks_proxy::server::fuzzing;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

pub fn check(data: &[u8]) {
    let (name, subject) = (fuzzing::common_name(data), fuzzing::subject(data));
    assert!(
        name.is_none() || subject.is_some(),
        "the audit trail has a subject"
    );
    for chain in [&[][..], &[data]] {
        let (result, _) = fuzzing::client_certificate(data, chain);
        assert_eq!(result, ClientCertificate::Unverified);
    }
    let Ok(certificate) = Certificate::from_der(data) else {
        return;
    };
    let subject_names = certificate.tbs_certificate.subject.0.iter();
    let attributes = subject_names.flat_map(|set| set.0.iter());
    let names: Vec<_> = attributes
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .collect();
    match (name, names.as_slice()) {
        (Some(name), [only]) => assert_eq!(name.as_bytes(), only.value.value()),
        (Some(name), others) => panic!("{name:?} of {} common names", others.len()),
        (None, [only]) => {
            assert!(subject.is_none() || !is_text(only.value.tag(), only.value.value()))
        }
        (None, _) => {}
    }
}

/// Returns whether the value is a `UTF8String` or a `PrintableString` with content of that type (RFC 5280 section 4.1.2.4).
fn is_text(tag: Tag, content: &[u8]) -> bool {
    let is_printable = |byte: &u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(byte);
    match tag {
        Tag::Utf8String => std::str::from_utf8(content).is_ok(),
        Tag::PrintableString => content.iter().all(is_printable),
        _ => false,
    }
}
