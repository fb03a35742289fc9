//! A ClientHello that `rustls` would not send: TLS 1.1, or suites without forward secrecy.
//!
//! The client reads only the first record of the server. It never completes a handshake.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::endpoint::Endpoint;

/// The versions and suites of a ClientHello.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The version: 0x0300 is SSL 3, 0x0301 TLS 1.0, 0x0303 TLS 1.2.
    pub version: u16,
    /// The numbers of the suites.
    pub suites: Vec<u16>,
}

/// The reaction of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerReply {
    /// The server chose a version and a suite.
    Accepted {
        /// The version.
        version: u16,
        /// The suite.
        suite: u16,
    },
    /// The server rejected the ClientHello with this alert.
    Alert(u8),
    /// The server closed the connection.
    Closed,
    /// The response is not TLS, or there was no response in time.
    Invalid,
}

/// Sends `hello` on a new connection.
///
/// # Errors
/// The TCP connection failed.
pub fn greet(endpoint: &Endpoint, hello: &Hello) -> io::Result<ServerReply> {
    let mut socket = endpoint.dial()?;
    socket.write_all(&hello.record(&endpoint.host))?;
    let mut head = [0; 5];
    if let Err(error) = socket.read_exact(&mut head) {
        return Ok(match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => ServerReply::Closed,
            _ => ServerReply::Invalid,
        });
    }
    let [kind, _, _, high, low] = head;
    let mut body = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    match socket.read_exact(&mut body) {
        Ok(()) => Ok(parse_reply(kind, &body)),
        Err(_) => Ok(ServerReply::Invalid),
    }
}

fn parse_reply(kind: u8, body: &[u8]) -> ServerReply {
    match (kind, body) {
        (21, &[_, alert]) => ServerReply::Alert(alert),
        (22, [2, _, _, _, hello @ ..]) => parse_server_hello(hello).unwrap_or(ServerReply::Invalid),
        _ => ServerReply::Invalid,
    }
}

/// Parses version, 32 random bytes, a session id with its length, and the suite.
fn parse_server_hello(hello: &[u8]) -> Option<ServerReply> {
    let version = u16::from_be_bytes([*hello.first()?, *hello.get(1)?]);
    let at = 35 + usize::from(*hello.get(34)?);
    let suite = u16::from_be_bytes([*hello.get(at)?, *hello.get(at + 1)?]);
    Some(ServerReply::Accepted { version, suite })
}

impl Hello {
    fn record(&self, host: &str) -> Vec<u8> {
        let mut hello = self.version.to_be_bytes().to_vec();
        // The random bytes must differ between requests. They need not be secret.
        let now = format!("{:?}", SystemTime::now());
        hello.extend_from_slice(&Sha256::digest(now));
        hello.push(0);
        let suites: Vec<u8> = self.suites.iter().flat_map(|s| s.to_be_bytes()).collect();
        hello.extend(with_length(&suites));
        hello.extend_from_slice(&[1, 0]);
        hello.extend(with_length(&self.extensions(host)));
        let mut message = vec![1, 0];
        message.extend(with_length(&hello));
        let mut record = vec![22, 3, self.version.to_be_bytes()[1].min(1)];
        record.extend(with_length(&message));
        record
    }

    fn extensions(&self, host: &str) -> Vec<u8> {
        let is_name = host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('[');
        let mut name = vec![0];
        name.extend(with_length(host.as_bytes()));
        let server_name = extension(0, &with_length(&name));
        // P-256, P-384, X25519; uncompressed points; ECDSA and RSA with SHA-2 and SHA-1.
        let groups = extension(10, &with_length(&[0, 23, 0, 24, 0, 29]));
        let points = extension(11, &[1, 0]);
        let schemes = [4, 3, 5, 3, 8, 4, 8, 5, 4, 1, 5, 1, 2, 3, 2, 1];
        let schemes = extension(13, &with_length(&schemes));
        match is_name {
            true => [server_name, groups, points, schemes].concat(),
            false => [groups, points, schemes].concat(),
        }
    }
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), with_length(content)].concat()
}

/// Prefixes the length. All contents here are shorter than 1 KiB.
fn with_length(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_parsed() {
        assert_eq!(parse_reply(21, &[2, 70]), ServerReply::Alert(70));
        let mut hello = vec![2, 0, 0, 70, 3, 2];
        hello.extend([7; 32]);
        hello.extend([1, 9, 0xc0, 0x13, 0]);
        let (version, suite) = (0x0302, 0xc013);
        assert_eq!(
            parse_reply(22, &hello),
            ServerReply::Accepted { version, suite }
        );
        assert_eq!(parse_reply(22, &hello[..20]), ServerReply::Invalid);
        assert_eq!(parse_reply(72, b"TTP/1.1 400"), ServerReply::Invalid);
    }

    #[test]
    fn lengths_add_up() {
        let (version, suites) = (0x0302, vec![0xc013]);
        let record = Hello { version, suites }.record("localhost");
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        assert_eq!(length, record.len() - 5);
        assert_eq!(record[..3], [22, 3, 1]);
    }
}
