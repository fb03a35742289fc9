//! The proxy under test, and the options of its operator.

use std::sync::Arc;

use super::wire::{Endpoint, Signer, Tls};
use crate::client::ClientIdentity;

/// The proxy under test, and the means to call it.
pub struct Target {
    /// The address of the proxy.
    pub endpoint: Endpoint,
    /// The `XksProxyUriPath`: prefix and `/kms/xks/v1`.
    pub path: String,
    /// The signer with the store's credential.
    pub signer: Signer,
    /// The signer with the store's second credential.
    pub second_signer: Option<Signer>,
    /// The trusted authorities, and the client certificate if given.
    pub tls: Tls,
    /// The proxy's mode of client authentication; none if unknown.
    pub client_auth: Option<ClientAuth>,
    /// A certificate from the right authority whose subject the proxy does not accept.
    pub wrong_subject: Option<Arc<ClientIdentity>>,
    /// A certificate with the right authority and subject, for servers only.
    pub server_auth_only: Option<Arc<ClientIdentity>>,
    /// The key ids.
    pub keys: Keys,
}

/// A mode of client authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// The proxy requests no client certificate.
    Off,
    /// The proxy requests a client certificate, and serves clients without a valid one.
    Optional,
    /// The proxy rejects clients without a valid certificate.
    Required,
}

/// External key ids. The first is required; the others enable more cases.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// An AES-256 key that can encrypt and decrypt.
    pub main: String,
    /// A second key of this type.
    pub second: Option<String>,
    /// A key that can only encrypt.
    pub encrypt_only: Option<String>,
    /// A key that can only decrypt.
    pub decrypt_only: Option<String>,
    /// A disabled key.
    pub disabled: Option<String>,
    /// An id that no key has.
    pub missing: Option<String>,
}

impl Keys {
    /// Returns an id that no key has: the given one, or an invented one.
    pub(super) fn missing(&self) -> &str {
        let made_up = "no-such-key-9d1f6c52-conformance";
        self.missing.as_deref().unwrap_or(made_up)
    }
}
