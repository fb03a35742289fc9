//! Private items of this module for the fuzz targets in `tests/fuzz`: only with the feature `fuzzing`.

use std::sync::Arc;

use http::HeaderMap;
use rustls::pki_types::CertificateDer;

use super::client_auth;
use super::trace_context::TraceContext;

/// Returns trace id, parent id and the sampled flag of the request's `traceparent`, or none if it is absent or malformed.
pub fn trace_context(headers: &HeaderMap) -> Option<(String, String, bool)> {
    let context = TraceContext::of(headers)?;
    Some((context.trace_id, context.parent_id, context.is_sampled))
}

/// Returns the common name by which a client certificate (DER) is accepted, or none if it does not have exactly one.
pub fn common_name(certificate: &[u8]) -> Option<String> {
    client_auth::common_name(&CertificateDer::from(certificate))
}

/// Returns the subject of a client certificate (DER) as the audit trail records it, or none if it cannot be parsed.
pub fn subject(certificate: &[u8]) -> Option<Arc<str>> {
    client_auth::subject(Some(&[CertificateDer::from(certificate)]))
}
