//! TLS: versions, server certificates and client certificates.

mod certificate_renewal;
mod certificates;
mod client_certificates;
mod mtls;
mod public_names;
mod tls;

use std::fs;
use std::io;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, SupportedProtocolVersion};

use crate::harness::Proxy;
use crate::harness::pki::{Identity, tls_client};

/// Both versions of TLS that the proxy serves.
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Returns the configuration of a client with this TLS version and certificate.
fn client(
    proxy: &Proxy,
    version: &'static SupportedProtocolVersion,
    identity: Option<&Identity>,
) -> Arc<ClientConfig> {
    let root = proxy.setup.authority.der();
    tls_client(root, &[version], identity, &["http/1.1"])
}

/// Returns the alert that ended a handshake.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// Returns the certificate that the proxy serves to new connections.
fn served_certificate(proxy: &Proxy) -> Vec<u8> {
    let connection = proxy.connect();
    connection.tls().peer_certificates().unwrap()[0].to_vec()
}

/// Replaces a file of the proxy by a rename.
fn replace_file(proxy: &Proxy, name: &str, text: &str) {
    let new = proxy.setup.write_private("new", text);
    fs::rename(new, proxy.setup.directory.join(name)).unwrap();
}

/// Replaces certificate and key of the server by two renames.
fn replace_identity(proxy: &Proxy, identity: &Identity) {
    replace_file(proxy, "server.pem", &identity.certificate_pem);
    replace_file(proxy, "server.key", &identity.key_pem);
}
