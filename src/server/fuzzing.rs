//! Access to private items of this module for the fuzz targets in `tests/fuzz`; only with the feature `fuzzing`.

use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::request::trace_context::TraceContext;
use super::tls::client_auth::classification::{Expected, Leaf};
use super::tls::client_auth::names;
use super::tls::client_auth::settings::amazon_trust_services;
use crate::connections::ClientCertificate;

/// Returns trace id, parent id and the sampled flag of the request's `traceparent`; `None` if it is absent or malformed.
pub fn trace_context(headers: &HeaderMap) -> Option<(String, String, bool)> {
    let context = TraceContext::of(headers)?;
    Some((context.trace_id, context.parent_id, context.is_sampled))
}

/// Returns the common name of a client certificate (DER); `None` unless there is exactly one.
pub fn common_name(certificate: &[u8]) -> Option<String> {
    names::common_name(&CertificateDer::from(certificate))
}

/// Classifies a client certificate (DER) with this chain (DER), where Amazon's CAs are expected. Also returns the end of its validity, in seconds since
/// 1970, if it can be parsed.
pub fn client_certificate(certificate: &[u8], chain: &[&[u8]]) -> (ClientCertificate, Option<i64>) {
    static EXPECTED: LazyLock<Expected> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.extend(amazon_trust_services());
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let subjects = vec!["cks.kms.eu-west-1.amazonaws.com".to_owned()];
        Expected::new(&roots, subjects, algorithms)
    });
    let leaf = CertificateDer::from(certificate);
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(*der)).collect();
    let finding = EXPECTED.classify(&leaf, &chain, UnixTime::now());
    (finding.result, Leaf::of(&leaf).map(|leaf| leaf.not_after))
}

/// Returns the subject of a client certificate (DER) as in the audit trail; `None` if it cannot be parsed.
pub fn subject(certificate: &[u8]) -> Option<Arc<str>> {
    names::subject(&CertificateDer::from(certificate))
}
