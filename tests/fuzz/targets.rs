//! The targets by name.

mod administration_frames;
mod base64;
mod canonical_request;
mod client_certificate;
mod job_frame;
mod json_body;
mod launch_frames;
mod news_frame;
mod order_frame;
mod path;
mod proxy_header;
mod request_head;
mod session_frame;
mod trace_context;

/// Panics if the input violates a property.
pub type Check = fn(&[u8]);

/// Every target: its name, which is also the name of its directory of seeds, and its check.
pub const ALL: &[(&str, Check)] = &[
    ("administration_frames", administration_frames::check),
    ("base64", base64::check),
    ("canonical_request", canonical_request::check),
    ("client_certificate", client_certificate::check),
    ("job_frame", job_frame::check),
    ("json_body", json_body::check),
    ("launch_frames", launch_frames::check),
    ("news_frame", news_frame::check),
    ("order_frame", order_frame::check),
    ("path", path::check),
    ("proxy_header", proxy_header::check),
    ("request_head", request_head::check),
    ("session_frame", session_frame::check),
    ("trace_context", trace_context::check),
];
