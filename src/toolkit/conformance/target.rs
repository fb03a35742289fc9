//! The proxy that is judged, and what its operator gives for it.

use std::sync::Arc;

use super::wire::{Endpoint, Signer, Tls};
use crate::client::ClientIdentity;

/// A proxy, with what is needed to call it.
pub struct Target {
    /// Where it listens.
    pub place: Endpoint,
    /// The `XksProxyUriPath`: prefix and `/kms/xks/v1`.
    pub path: String,
    /// Signs with the store's credential.
    pub signer: Signer,
    /// Signs with the store's second credential.
    pub second_signer: Option<Signer>,
    /// Trust, and the client certificate if there is one.
    pub tls: Tls,
    /// The proxy's mode of client authentication; none if it is not known.
    pub client_auth: Option<ClientAuth>,
    /// A certificate of the right authority with a subject that the proxy does not take.
    pub wrong_subject: Option<Arc<ClientIdentity>>,
    /// A certificate of the right authority and subject that is for servers only.
    pub server_auth_only: Option<Arc<ClientIdentity>>,
    /// The keys.
    pub keys: Keys,
}

/// A mode of client authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// No client certificate is requested.
    Off,
    /// One is requested; a connection without a right one is served.
    Optional,
    /// A connection without a right one ends.
    Required,
}

/// External key ids; the first is needed, the others make more cases possible.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// An AES-256 key that may encrypt and decrypt.
    pub main: String,
    /// Another one like it.
    pub second: Option<String>,
    /// One that may only encrypt.
    pub encrypt_only: Option<String>,
    /// One that may only decrypt.
    pub decrypt_only: Option<String>,
    /// One that is disabled.
    pub disabled: Option<String>,
    /// An id that no key has.
    pub missing: Option<String>,
}

impl Keys {
    /// An id that no key has; made up, unless one was given.
    pub(super) fn missing(&self) -> &str {
        let made_up = "no-such-key-9d1f6c52-conformance";
        self.missing.as_deref().unwrap_or(made_up)
    }
}
