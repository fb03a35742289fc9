//! TLS of the server: its own certificate, client authentication, and the settings that combine them.

pub(super) mod certificate;
pub(super) mod client_auth;
pub(super) mod error;
pub(super) mod settings;
