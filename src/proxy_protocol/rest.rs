//! Parses the part after the prefix: addresses, then TLVs (type, length, value).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc::crc32c;
use super::endpoint::VpcEndpointId;
use super::error::HeaderError;
use super::proxied::{Family, PREFIX, Proxied};

/// The TLV type of the CRC32C.
const CRC: u8 = 0x03;

/// The TLV type of AWS. The first byte of the value is the subtype.
const AWS: u8 = 0xea;

/// The subtype of a VPC endpoint id.
const VPC_ENDPOINT: u8 = 0x01;

/// The TLVs of a header.
#[derive(Default)]
struct Tlvs<'a> {
    crc: Option<Crc<'a>>,
    vpc_endpoint: Option<VpcEndpointId>,
}

/// The checksum, with the bytes before and after it.
struct Crc<'a> {
    expected: u32,
    before: &'a [u8],
    after: &'a [u8],
}

/// Parses the rest of a header with the command PROXY.
pub(super) fn proxied(
    prefix: &[u8; PREFIX],
    family: Family,
    rest: &[u8],
) -> Result<Proxied, HeaderError> {
    let (client, destination, length) = addresses(family, rest)?;
    let tlvs = Tlvs::parse(rest, length)?;
    if let Some(crc) = tlvs.crc
        && crc32c(&[prefix, crc.before, &[0; 4], crc.after]) != crc.expected
    {
        return Err(HeaderError::Crc);
    }
    Ok(Proxied {
        client,
        destination,
        vpc_endpoint: tlvs.vpc_endpoint,
    })
}

/// Returns source, destination, and their length in bytes.
fn addresses(family: Family, rest: &[u8]) -> Result<(SocketAddr, SocketAddr, usize), HeaderError> {
    match family {
        Family::Ipv4 => {
            let block = rest.first_chunk::<12>().ok_or(HeaderError::Addresses)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *block;
            let (from, to) = ports_of(ports);
            let client = (Ipv4Addr::new(a, b, c, d), from).into();
            Ok((client, (Ipv4Addr::new(e, f, g, h), to).into(), block.len()))
        }
        Family::Ipv6 => {
            let block = rest.first_chunk::<36>().ok_or(HeaderError::Addresses)?;
            let address = |at: usize| {
                let bytes = block.get(at..).and_then(|bytes| bytes.first_chunk::<16>());
                bytes
                    .map(|bytes| Ipv6Addr::from(*bytes))
                    .ok_or(HeaderError::Addresses)
            };
            let [.., a, b, c, d] = *block;
            let (from, to) = ports_of([a, b, c, d]);
            let client = (address(0)?, from).into();
            Ok((client, (address(16)?, to).into(), block.len()))
        }
    }
}

fn ports_of([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

impl<'a> Tlvs<'a> {
    /// Parses the TLVs of `rest` from `at` on. Unknown types are skipped.
    fn parse(rest: &'a [u8], at: usize) -> Result<Self, HeaderError> {
        let mut tlvs = Self::default();
        let mut unread = rest.get(at..).unwrap_or_default();
        while !unread.is_empty() {
            let Some(([kind, high, low], after)) = unread.split_first_chunk::<3>() else {
                return Err(HeaderError::Tlv);
            };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (value, after) = after.split_at_checked(length).ok_or(HeaderError::Tlv)?;
            match *kind {
                CRC => tlvs.set_crc(rest, value, after)?,
                AWS => tlvs.set_endpoint(value)?,
                _ => {}
            }
            unread = after;
        }
        Ok(tlvs)
    }

    fn set_crc(
        &mut self,
        rest: &'a [u8],
        value: &[u8],
        after: &'a [u8],
    ) -> Result<(), HeaderError> {
        let bytes = <[u8; 4]>::try_from(value).map_err(|_| HeaderError::Tlv)?;
        let before = rest.len().checked_sub(after.len() + value.len());
        let crc = Crc {
            expected: u32::from_be_bytes(bytes),
            before: before.and_then(|end| rest.get(..end)).unwrap_or_default(),
            after,
        };
        check_first(self.crc.replace(crc).is_none())
    }

    fn set_endpoint(&mut self, value: &[u8]) -> Result<(), HeaderError> {
        let [VPC_ENDPOINT, id @ ..] = value else {
            return Ok(());
        };
        let id = VpcEndpointId::parse(id).ok_or(HeaderError::Endpoint)?;
        check_first(self.vpc_endpoint.replace(id).is_none())
    }
}

fn check_first(is_first: bool) -> Result<(), HeaderError> {
    is_first.then_some(()).ok_or(HeaderError::Repeated)
}
