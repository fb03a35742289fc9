//! HTTP/2 as bytes: frames that a client library would not send, or not at that time.

use rustls::ALL_VERSIONS;

use crate::harness::Proxy;
use crate::harness::http::{Connection, Request};
use crate::harness::pki::tls_client;

/// The start of an HTTP/2 connection: the preface and empty SETTINGS.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
/// ACK of PING and SETTINGS.
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Returns a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// Returns the HEADERS of a request, without END_STREAM. Its field `host` is the authority.
pub fn head(request: &Request, stream: u32) -> Vec<u8> {
    let mut fields = vec![
        (":method", request.method.as_str()),
        (":scheme", "https"),
        (":path", &request.target),
        (":authority", request.value("host")),
    ];
    let others = request.headers.iter().filter(|(name, _)| name != "host");
    fields.extend(others.map(|(name, value)| (name.as_str(), value.as_str())));
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal field without indexing, with a new name (RFC 7541 section 6.2.2).
        block.push(0);
        push_text(&mut block, &name.to_ascii_lowercase());
        push_text(&mut block, value);
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// Appends a text without Huffman coding (RFC 7541 section 5.2): its length has a prefix of 7 bits.
fn push_text(block: &mut Vec<u8>, text: &str) {
    match text.len().checked_sub(127) {
        None => block.push(text.len() as u8),
        Some(mut rest) => {
            block.push(127);
            while rest >= 128 {
                block.push(rest as u8 | 128);
                rest >>= 7;
            }
            block.push(rest as u8);
        }
    }
    block.extend_from_slice(text.as_bytes());
}

/// Opens a connection that negotiated HTTP/2, without sending anything.
pub fn silent(proxy: &Proxy) -> Connection {
    let client = tls_client(proxy.setup.authority.der(), ALL_VERSIONS, None, &["h2"]);
    Connection::open(proxy.server, client).unwrap()
}

/// Opens a connection with HTTP/2 on which only the test writes.
pub fn raw(proxy: &Proxy) -> Connection {
    let mut connection = silent(proxy);
    connection.send(PREFACE).unwrap();
    connection
}
