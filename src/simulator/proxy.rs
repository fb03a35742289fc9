//! The connection to an external key store proxy: TLS, calls, responses, and the errors that they become.

pub(super) mod client_certificate;
pub(super) mod errors;
pub(super) mod link;
pub(super) mod quota;
pub(super) mod responses;
pub(super) mod tls;
