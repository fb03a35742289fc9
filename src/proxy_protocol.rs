//! PROXY protocol, version 2: the header that a Network Load Balancer sends at the beginning of a connection.
//!
//! A header begins with [`PREFIX`] bytes ([`Prefix`]), which contain the length of the rest ([`Prefix::parse_rest`]). This module parses bytes;
//! `connections` reads them from sockets.
//!
//! # Invariants
//! - The parser is strict: input that the specification does not allow, or that is ambiguous, is an error.
//! - No input makes it panic, allocate, or read more than [`MAX_LENGTH`] bytes after the prefix.

mod crc;
mod endpoint;
mod error;
mod proxied;
mod rest;

pub use endpoint::VpcEndpointId;
pub use error::HeaderError;
use proxied::Family;
pub use proxied::{PREFIX, Proxied};

/// The largest length field that is accepted, in bytes. A Network Load Balancer sends less than 200.
pub const MAX_LENGTH: usize = 1_024;

/// The first bytes of a header. No HTTP/1 or HTTP/2 request and no TLS handshake begins with them.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

const VERSION: u8 = 2;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;

/// TCP over IPv4, in the byte of address family and transport protocol.
const TCP4: u8 = 0x11;

/// TCP over IPv6, in the same byte.
const TCP6: u8 = 0x21;

/// The first [`PREFIX`] bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; PREFIX],
    command: Command,
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Local,
    Proxy(Family),
}

/// The content of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The load balancer connected itself, for a health check. The addresses of the connection are those of the socket.
    Local,
    /// The load balancer relays a client's connection.
    Proxied(Proxied),
}

impl Prefix {
    /// Parses the first bytes of a connection.
    ///
    /// # Errors
    /// [`HeaderError`] when they are not the prefix of an acceptable header.
    pub fn parse(bytes: &[u8; PREFIX]) -> Result<Self, HeaderError> {
        let [signature @ .., version, family, high, low] = bytes;
        if *signature != SIGNATURE {
            return Err(HeaderError::Signature);
        }
        if version >> 4 != VERSION {
            return Err(HeaderError::Version);
        }
        let command = match (version & 0x0f, *family) {
            (LOCAL, _) => Command::Local,
            (PROXY, TCP4) => Command::Proxy(Family::Ipv4),
            (PROXY, TCP6) => Command::Proxy(Family::Ipv6),
            (PROXY, _) => return Err(HeaderError::Family),
            _ => return Err(HeaderError::Command),
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > MAX_LENGTH {
            return Err(HeaderError::TooLong);
        }
        Ok(Self {
            bytes: *bytes,
            command,
            length,
        })
    }

    /// Returns the number of bytes after the prefix; at most [`MAX_LENGTH`].
    pub fn length(&self) -> usize {
        self.length
    }

    /// Parses the bytes after the prefix. Those of [`Header::Local`] are ignored.
    ///
    /// # Errors
    /// [`HeaderError`] when they are not the rest of a valid header, or are not exactly [`Prefix::length`] bytes.
    pub fn parse_rest(&self, rest: &[u8]) -> Result<Header, HeaderError> {
        if rest.len() != self.length {
            return Err(HeaderError::Truncated);
        }
        match self.command {
            Command::Local => Ok(Header::Local),
            Command::Proxy(family) => rest::proxied(&self.bytes, family, rest).map(Header::Proxied),
        }
    }
}

#[cfg(test)]
mod tests;
