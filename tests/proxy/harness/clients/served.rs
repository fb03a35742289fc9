//! The server side of HTTP/1.1, for tests that act as a server.

use std::io::{self, Read};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::harness::http::Request;
use crate::harness::pki::Identity;

/// Returns TLS settings with this certificate. With an authority, clients must present one of its certificates.
pub fn tls_server(
    identity: &Identity,
    clients: Option<CertificateDer<'static>>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let chain = vec![identity.certificate.clone()];
    Arc::new(builder.with_single_cert(chain, identity.key()).unwrap())
}

/// Reads the next request, or returns `None` when the client has gone. `unread` keeps the bytes after it.
pub fn read_request(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if more(stream, unread)? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = unread.drain(..end + 4).collect();
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let fields = lines.filter_map(|line| line.split_once(':'));
    let mut request = Request {
        method: line[0].to_owned(),
        target: line[1].to_owned(),
        headers: fields
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect(),
        body: Vec::new(),
    };
    let length = request.value("content-length").parse().unwrap_or(0);
    while unread.len() < length {
        if more(stream, unread)? == 0 {
            return Ok(None);
        }
    }
    request.body = unread.drain(..length).collect();
    Ok(Some(request))
}

fn more(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 16 * 1024];
    let count = stream.read(&mut chunk)?;
    unread.extend_from_slice(&chunk[..count]);
    Ok(count)
}
