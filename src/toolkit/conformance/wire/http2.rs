//! One request over HTTP/2 (RFC 9113) without a library: enough to check that a proxy that negotiates HTTP/2 serves it.
//!
//! Fields are sent as literals without Huffman coding. Of the response fields, only a `:status` of the static table is decoded.

use std::io::{self, Read as _};

use super::connection::Connection;
use super::request::Request;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// The response on the stream of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Answer {
    /// The status if the static table contains it: 200, 400, 404 or 500.
    pub status: Option<u16>,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends a request on a connection that negotiated `h2`, and waits for the response.
///
/// # Errors
/// The connection failed, or the peer ended the stream or the connection without a response.
pub fn exchange_http2(connection: &mut Connection, request: &Request) -> io::Result<Http2Answer> {
    // The initial window of the peer limits the size of a request. A body of up to 16 KiB fits any frame size.
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()));
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &fields(request)));
    bytes.extend(frame(DATA, END_STREAM, 1, &request.body));
    connection.send(&bytes)?;
    answer(connection)
}

fn answer(connection: &mut Connection) -> io::Result<Http2Answer> {
    let (mut status, mut body) = (None, Vec::new());
    loop {
        let (kind, flags, stream, payload) = next_frame(connection)?;
        match (kind, stream) {
            (SETTINGS, _) if flags & ACK == 0 => connection.send(&frame(SETTINGS, ACK, 0, &[]))?,
            (HEADERS, 1) => status = indexed_status(&payload),
            (DATA, 1) => body.extend_from_slice(&payload),
            (RESET, 1) | (GOAWAY, _) => return Err(io::Error::other("the stream was reset")),
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && stream == 1 && flags & END_STREAM != 0 {
            return Ok(Http2Answer { status, body });
        }
    }
}

fn next_frame(connection: &mut Connection) -> io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    connection.stream.read_exact(&mut head)?;
    let [a, b, c, kind, flags, d, e, f, g] = head;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let mut payload = vec![0; length];
    connection.stream.read_exact(&mut payload)?;
    Ok((
        kind,
        flags,
        u32::from_be_bytes([d & 0x7f, e, f, g]),
        payload,
    ))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes: Vec<u8> = length.to_be_bytes().into_iter().skip(1).collect();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn fields(request: &Request) -> Vec<u8> {
    let host = request.value("host").to_owned();
    let pseudo = [
        (":method", request.method.as_str()),
        (":scheme", "https"),
        (":authority", &host),
        (":path", &request.target),
    ];
    let others = request.headers.iter().filter(|(name, _)| name != "host");
    let others = others.map(|(name, value)| (name.as_str(), value.as_str()));
    pseudo
        .into_iter()
        .chain(others)
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

/// Encodes a literal field without indexing (RFC 7541, section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

/// Encodes a string without Huffman coding. A length from 127 continues in groups of seven bits (RFC 7541, section 5.1).
fn string(text: &str) -> Vec<u8> {
    let length = text.len();
    let mut bytes = vec![u8::try_from(length.min(127)).unwrap_or(127)];
    if let Some(mut rest) = length.checked_sub(127) {
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Returns the status from the static table (RFC 7541, appendix A), after any changes of the table's size.
fn indexed_status(block: &[u8]) -> Option<u16> {
    let mut fields = block.iter().skip_while(|byte| *byte >> 5 == 1);
    match fields.next()? {
        0x88 => Some(200),
        0x8c => Some(400),
        0x8d => Some(404),
        0x8e => Some(500),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_any_length() {
        assert_eq!(string("ab"), [2, b'a', b'b']);
        assert_eq!(string(&"x".repeat(127))[..2], [127, 0]);
        // RFC 7541, section C.1.2: 1337 with a prefix of 7 bits is 127 and then 1210.
        assert_eq!(string(&"x".repeat(1337))[..3], [127, 0xba, 0x09]);
    }

    #[test]
    fn frames_and_statuses() {
        assert_eq!(frame(DATA, 1, 3, b"x"), [0, 0, 1, 0, 1, 0, 0, 0, 3, b'x']);
        assert_eq!(indexed_status(&[0x20, 0x88]), Some(200));
        assert_eq!(indexed_status(&[0x8d, 0x5f]), Some(404));
        assert_eq!(indexed_status(&[0x48]), None);
    }
}
