//! Why a header is not accepted.

use thiserror::Error;

/// Why a header is not accepted. No text quotes what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Other bytes: TLS without a header, version 1, or anything else.
    #[error("the connection does not begin with a PROXY protocol v2 header")]
    Signature,
    /// Not version 2.
    #[error("the version of the PROXY protocol is not 2")]
    Version,
    /// Neither LOCAL nor PROXY.
    #[error("the command is neither LOCAL nor PROXY")]
    Command,
    /// A relayed connection that is not TCP over IPv4 or IPv6.
    #[error("the relayed connection is not TCP over IPv4 or IPv6")]
    Family,
    /// The length field is over [`super::MAX_LENGTH`].
    #[error("the header is longer than 1,024 bytes")]
    TooLong,
    /// The length field is less than the addresses need.
    #[error("the header is too short for its addresses")]
    Addresses,
    /// A TLV does not fit into the header, or has another length than its type requires.
    #[error("a TLV does not fit into the header")]
    Tlv,
    /// A TLV that may come once has come twice.
    #[error("the header has two TLVs of a type that may come once")]
    Repeated,
    /// The checksum is not that of the header.
    #[error("the CRC32C of the header is wrong")]
    Crc,
    /// The VPC endpoint id is not of the form `vpce-[0-9a-z]{8,32}`.
    #[error("the VPC endpoint id is malformed")]
    Endpoint,
    /// The header ends before its announced length.
    #[error("the header is incomplete")]
    Truncated,
}
