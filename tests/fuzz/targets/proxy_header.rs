//! The PROXY protocol v2 header at the start of a connection.
//!
//! - It is parsed like on a connection: 16 bytes, then exactly the length that these announce.
//! - A header that is written from a parsed header parses as the same.
//! - A header with one byte missing, or one too many, is not parsed.

use std::net::{IpAddr, SocketAddr};

use xks_proxy::proxy_protocol::{Header, MAX_LENGTH, PREFIX, Prefix, Proxied, VpcEndpointId};

pub fn check(data: &[u8]) {
    if let Some(id) = VpcEndpointId::parse(data) {
        assert_eq!(id.as_str().as_bytes(), data);
        assert!((13..=37).contains(&data.len()));
    }
    let Some((first, behind)) = data.split_first_chunk::<PREFIX>() else {
        return;
    };
    let Ok(prefix) = Prefix::parse(first) else {
        return;
    };
    assert!(prefix.length() <= MAX_LENGTH);
    assert!(prefix.parse_rest(&[]).is_err() || prefix.length() == 0);
    let Some(rest) = behind.get(..prefix.length()) else {
        assert!(prefix.parse_rest(behind).is_err());
        return;
    };
    let parsed = prefix.parse_rest(rest);
    let more = behind.get(..=prefix.length());
    assert!(more.is_none_or(|more| prefix.parse_rest(more).is_err()));
    if let Ok(Header::Proxied(proxied)) = parsed {
        assert_eq!(data[12], 0x21);
        let written = written(&proxied);
        let (first, rest) = written.split_first_chunk().expect("a prefix");
        let again = Prefix::parse(first).and_then(|prefix| prefix.parse_rest(rest));
        assert_eq!(again, parsed);
    }
}

fn written(proxied: &Proxied) -> Vec<u8> {
    let (from, to) = (proxied.client, proxied.destination);
    assert_eq!(from.is_ipv4(), to.is_ipv4());
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let mut rest = [octets(from), octets(to), ports].concat();
    if let Some(id) = proxied.vpc_endpoint {
        let length = u16::try_from(id.as_str().len() + 1).expect("at most 38");
        rest.push(0xea);
        rest.extend(length.to_be_bytes());
        rest.push(1);
        rest.extend(id.as_str().bytes());
    }
    let length = u16::try_from(rest.len()).expect("at most 78").to_be_bytes();
    let family = if from.is_ipv4() { 0x11 } else { 0x21 };
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, family][..], &length, &rest].concat()
}
