//! The errors of PROXY headers.

use thiserror::Error;

/// The reason why a header is not accepted. No error text quotes received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The first bytes are not those of a header: for example TLS without a header, or version 1 of the protocol.
    #[error("the connection does not begin with a PROXY protocol v2 header")]
    Signature,
    /// The version is not 2.
    #[error("the version of the PROXY protocol is not 2")]
    Version,
    /// The command is neither LOCAL nor PROXY.
    #[error("the command is neither LOCAL nor PROXY")]
    Command,
    /// The relayed connection is not TCP over IPv4 or IPv6.
    #[error("the relayed connection is not TCP over IPv4 or IPv6")]
    Family,
    /// The length field is greater than [`super::MAX_LENGTH`].
    #[error("the header is longer than 1,024 bytes")]
    TooLong,
    /// The length field is smaller than the length of the addresses.
    #[error("the header is too short for its addresses")]
    Addresses,
    /// A TLV does not fit into the header, or does not have the length that its type requires.
    #[error("a TLV does not fit into the header")]
    Tlv,
    /// The header has two TLVs of a type that may occur once.
    #[error("the header has two TLVs of a type that may occur once")]
    Repeated,
    /// The checksum is wrong.
    #[error("the CRC32C of the header is wrong")]
    Crc,
    /// The VPC endpoint id does not have the form `vpce-[0-9a-z]{8,32}`.
    #[error("the VPC endpoint id is malformed")]
    Endpoint,
    /// The header ends before its announced length.
    #[error("the header is incomplete")]
    Truncated,
}
