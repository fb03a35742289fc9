//! The endpoint that is probed, and the credential and key for it.

use std::net::SocketAddr;

use super::trust::TrustedRoots;
use crate::client::ClientIdentity;
use crate::sigv4::{Credential, CredentialError};

/// What is probed.
pub struct Settings {
    /// The host of the endpoint.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where to connect instead of where the name leads.
    pub address: Option<SocketAddr>,
    /// The `XksProxyUriPath`.
    pub path: String,
    /// The Region of the key store.
    pub region: String,
    /// The service of the credential scope.
    pub service: &'static str,
    /// The credential, or which of its rules it breaks.
    pub credential: Result<Credential, CredentialError>,
    /// Authorities (DER) besides those of this machine.
    pub authorities: Vec<Vec<u8>>,
    /// The client certificate to show.
    pub identity: Option<ClientIdentity>,
    /// Whom KMS trusts.
    pub trusted: Option<TrustedRoots>,
    /// A key to use.
    pub key: Option<String>,
    /// Requests of each operation.
    pub samples: u32,
}
