//! The examples of the specification, and each rule. `generated` has the properties of generated headers.

mod generated;

use super::crc::crc32c;
use std::net::SocketAddr;

use super::*;

const A: &str = "0d0a0d0a000d0a515549540a2111000c0a141e280a140005c8f201bb";
const B: &str = "0d0a0d0a000d0a515549540a211100260a141e280a140005c8f201bbea001701767063652d3031323334353637383961626364656630";
const C: &str = "0d0a0d0a000d0a515549540a2111002d0a141e280a140005c8f201bb030004c28b3654ea001701767063652d3031323334353637383961626364656630";

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

/// The captured health check of a Network Load Balancer.
fn captured() -> Vec<u8> {
    let head = bytes("0d0a0d0a000d0a515549540a20110054030004bce5951f04004a");
    [head, vec![0; 74]].concat()
}

/// Parses a complete header. Bytes after it are an error.
fn parse(header: &[u8]) -> Result<Header, HeaderError> {
    let (prefix, rest) = header.split_first_chunk().ok_or(HeaderError::Truncated)?;
    Prefix::parse(prefix)?.parse_rest(rest)
}

fn endpoint(id: &str) -> Option<VpcEndpointId> {
    VpcEndpointId::parse(id.as_bytes())
}

fn example(vpc_endpoint: Option<VpcEndpointId>) -> Header {
    Header::Proxied(Proxied {
        client: "10.20.30.40:51442".parse().unwrap(),
        destination: "10.20.0.5:443".parse().unwrap(),
        vpc_endpoint,
    })
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

fn vpc_endpoint(id: &str) -> Vec<u8> {
    tlv(0xea, &[&[1], id.as_bytes()].concat())
}

/// Returns a header with the command PROXY and these addresses and TLVs.
fn header(client: SocketAddr, destination: SocketAddr, tlvs: &[Vec<u8>]) -> Vec<u8> {
    let ports = [
        client.port().to_be_bytes(),
        destination.port().to_be_bytes(),
    ]
    .concat();
    let (family, addresses) = match (client, destination) {
        (SocketAddr::V4(client), SocketAddr::V4(to)) => {
            (0x11, [client.ip().octets(), to.ip().octets()].concat())
        }
        (SocketAddr::V6(client), SocketAddr::V6(to)) => {
            (0x21, [client.ip().octets(), to.ip().octets()].concat())
        }
        _ => panic!("two families"),
    };
    let rest = [addresses, ports, tlvs.concat()].concat();
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[0x21, family], &length, &rest].concat()
}

fn example_header(tlvs: &[Vec<u8>]) -> Vec<u8> {
    header(
        "10.20.30.40:51442".parse().unwrap(),
        "10.20.0.5:443".parse().unwrap(),
        tlvs,
    )
}

/// Inserts the checksum into a header whose CRC32C TLV has its value at this position.
fn with_crc(mut header: Vec<u8>, at: usize) -> Vec<u8> {
    header[at..at + 4].fill(0);
    let crc = crc32c(&[&header]).to_be_bytes();
    header[at..at + 4].copy_from_slice(&crc);
    header
}

/// The position of the value of the first TLV of an IPv4 header.
const FIRST_VALUE: usize = 16 + 12 + 3;

#[test]
fn the_examples_of_the_specification_are_parsed() {
    let id = endpoint("vpce-0123456789abcdef0");
    assert_eq!(parse(&bytes(A)), Ok(example(None)));
    assert_eq!(parse(&bytes(B)), Ok(example(id)));
    assert_eq!(parse(&bytes(C)), Ok(example(id)));
    assert_eq!(
        (bytes(A).len(), bytes(B).len(), bytes(C).len()),
        (28, 54, 61)
    );
    assert_eq!(example_header(&[]), bytes(A));
    let crc = tlv(3, &[0; 4]);
    let built = example_header(&[crc, vpc_endpoint("vpce-0123456789abcdef0")]);
    assert_eq!(with_crc(built, FIRST_VALUE), bytes(C));
}

#[test]
fn the_health_check_of_a_network_load_balancer_is_local() {
    let captured = captured();
    assert_eq!(captured.len(), 100);
    assert_eq!(parse(&captured), Ok(Header::Local));
    assert_eq!(with_crc(captured.clone(), 19), captured, "its CRC32C");
    // The family and the bytes after the prefix are ignored.
    for family in [0x00, 0x11, 0x12, 0x21, 0x31, 0xff] {
        let mut changed = captured.clone();
        changed[13] = family;
        changed[16..].fill(0xea);
        assert_eq!(parse(&changed), Ok(Header::Local), "{family:#x}");
    }
}

#[test]
fn a_local_header_has_no_endpoint() {
    let mut header = bytes(B);
    header[12] = 0x20;
    assert_eq!(parse(&header), Ok(Header::Local));
}

#[test]
fn each_rule_of_the_prefix_is_checked() {
    let changed = |at: usize, byte: u8| {
        let mut header = bytes(A);
        header[at] = byte;
        parse(&header)
    };
    for at in 0..12 {
        assert_eq!(changed(at, b'x'), Err(HeaderError::Signature));
    }
    for version in [0x01, 0x11, 0x31, 0xf1] {
        assert_eq!(changed(12, version), Err(HeaderError::Version));
    }
    for command in 0x22..=0x2f {
        assert_eq!(changed(12, command), Err(HeaderError::Command));
    }
    for family in (0..=0xff).filter(|family| ![0x11, 0x21].contains(family)) {
        assert_eq!(changed(13, family), Err(HeaderError::Family), "{family:#x}");
    }
    let v1 = b"PROXY TCP4 10.20.30.40 10.20.0.5 51442 443\r\n";
    assert_eq!(parse(v1), Err(HeaderError::Signature));
    let hello = [&[0x16, 3, 1, 2, 0][..], &[0; 32]].concat();
    assert_eq!(parse(&hello), Err(HeaderError::Signature));
}

#[test]
fn the_length_is_bounded_for_both_commands() {
    for command in [0x20, 0x21] {
        let longest = example_header(&[tlv(4, &[0; 1_024 - 12 - 3])]);
        assert_eq!(longest.len(), PREFIX + MAX_LENGTH);
        let with_command = |mut header: Vec<u8>| {
            header[12] = command;
            parse(&header)
        };
        assert!(with_command(longest).is_ok());
        let longer = example_header(&[tlv(4, &[0; 1_025 - 12 - 3])]);
        assert_eq!(with_command(longer), Err(HeaderError::TooLong));
    }
    for length in 0..12 {
        let mut short = bytes(A);
        short.truncate(PREFIX + length);
        short[15] = u8::try_from(length).unwrap();
        assert_eq!(parse(&short), Err(HeaderError::Addresses), "{length}");
    }
    let mut ipv6 = bytes(A);
    ipv6[13] = 0x21;
    assert_eq!(parse(&ipv6), Err(HeaderError::Addresses));
}

#[test]
fn each_rule_of_tlvs_is_checked() {
    let id = "vpce-0123456789abcdef0";
    let parse_tlvs = |tlvs: &[Vec<u8>]| parse(&example_header(tlvs));
    let unknown = [
        tlv(4, &[0; 9]),
        tlv(0x20, b"ssl"),
        tlv(0xe0, b""),
        tlv(0xff, b"x"),
    ];
    assert_eq!(parse_tlvs(&unknown), Ok(example(None)));
    for subtype in [&b""[..], &[0], &[2, b'v'], b"vpce-0123456789abcdef0"] {
        let tlvs = [tlv(0xea, subtype), vpc_endpoint(id)];
        assert_eq!(
            parse_tlvs(&tlvs),
            Ok(example(endpoint(id))),
            "{subtype:?} is skipped"
        );
    }
    for wrong in [
        "",
        "vpce-",
        "vpce-1234567",
        "vpce-ABCDEFGH",
        "subnet-12345678",
    ] {
        assert_eq!(
            parse_tlvs(&[vpc_endpoint(wrong)]),
            Err(HeaderError::Endpoint),
            "{wrong}"
        );
    }
    let twice = [vpc_endpoint(id), vpc_endpoint(id)];
    assert_eq!(parse_tlvs(&twice), Err(HeaderError::Repeated));
    for overrun in [&[4][..], &[4, 0], &[4, 0, 1], &[0xea, 0xff, 0xff, 1]] {
        assert_eq!(
            parse_tlvs(&[overrun.to_vec()]),
            Err(HeaderError::Tlv),
            "{overrun:?}"
        );
    }
    for length in [0, 3, 5] {
        assert_eq!(
            parse_tlvs(&[tlv(3, &vec![0; length])]),
            Err(HeaderError::Tlv)
        );
    }
    let crcs = [tlv(3, &[0; 4]), tlv(3, &[0; 4])];
    assert_eq!(parse_tlvs(&crcs), Err(HeaderError::Repeated));
}

#[test]
fn every_wrong_bit_is_a_checksum_error() {
    let right = bytes(C);
    // Wrong bits in the fields that select the kind of header have other errors.
    for bit in PREFIX * 8..FIRST_VALUE * 8 - 24 {
        let mut wrong = right.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(parse(&wrong), Err(HeaderError::Crc), "bit {bit}");
    }
    for bit in FIRST_VALUE * 8..(FIRST_VALUE + 4) * 8 {
        let mut wrong = right.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(parse(&wrong), Err(HeaderError::Crc), "bit {bit}");
    }
}
