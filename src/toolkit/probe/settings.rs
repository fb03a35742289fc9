//! The endpoint that is probed, and the credential and key for it.

use std::net::SocketAddr;

use super::trust::TrustedRoots;
use crate::client::ClientIdentity;
use crate::sigv4::{Credential, CredentialError};

/// The endpoint, the credential and the options of a probe.
pub struct Settings {
    /// The host of the endpoint.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The address to connect to instead of resolving the name.
    pub address: Option<SocketAddr>,
    /// The `XksProxyUriPath`.
    pub path: String,
    /// The Region of the key store.
    pub region: String,
    /// The service of the credential scope.
    pub service: &'static str,
    /// The credential, or the rule that it violates.
    pub credential: Result<Credential, CredentialError>,
    /// Authorities (DER) in addition to those of this machine.
    pub authorities: Vec<Vec<u8>>,
    /// The client certificate to present.
    pub identity: Option<ClientIdentity>,
    /// The roots that KMS trusts.
    pub trusted: Option<TrustedRoots>,
    /// The key to use.
    pub key: Option<String>,
    /// The number of requests of each operation.
    pub samples: u32,
}
