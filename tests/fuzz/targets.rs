//! The targets by name.

mod base64;
mod canonical_request;
mod client_certificate;
mod json_body;
mod path;
mod request_head;
mod trace_context;

/// Panics if the input breaks a property.
pub type Check = fn(&[u8]);

/// Every target: its name, also that of its directory of seeds, and its check.
pub const ALL: &[(&str, Check)] = &[
    ("base64", base64::check),
    ("canonical_request", canonical_request::check),
    ("client_certificate", client_certificate::check),
    ("json_body", json_body::check),
    ("path", path::check),
    ("request_head", request_head::check),
    ("trace_context", trace_context::check),
];
