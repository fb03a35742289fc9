//! Properties of generated headers: a valid header is parsed, and a cut or changed header never causes a panic or wrong addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::test_random::SplitMix64;

/// Generates headers. A seed determines the header.
struct Random(SplitMix64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.0.index(most + 1);
        (0..length).map(|_| self.0.byte()).collect()
    }

    fn address(&mut self, is_ipv4: bool) -> SocketAddr {
        let [a, b, c, d, e, f, ..] = self.0.next().to_le_bytes();
        let port = u16::from_le_bytes([e, f]);
        match is_ipv4 {
            true => (Ipv4Addr::new(a, b, c, d), port).into(),
            false => {
                let bits = u128::from(self.0.next()) << 64 | u128::from(self.0.next());
                (Ipv6Addr::from(bits), port).into()
            }
        }
    }

    fn id(&mut self) -> String {
        let alphabet = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let length = 8 + self.0.index(25);
        let characters = (0..length).map(|_| char::from(alphabet[self.0.index(36)]));
        characters.fold("vpce-".to_owned(), |mut id, character| {
            id.push(character);
            id
        })
    }

    /// Returns TLVs that the parser skips.
    fn skipped(&mut self) -> Vec<Vec<u8>> {
        let one = |random: &mut Self| match random.0.byte() {
            0x03 => tlv(0x04, &random.bytes(60)),
            0xea => tlv(0xea, &[&[2], &random.bytes(60)[..]].concat()),
            kind => tlv(kind, &random.bytes(60)),
        };
        (0..self.0.index(6)).map(|_| one(self)).collect()
    }

    /// Returns a valid header and its content.
    fn header(&mut self) -> (Vec<u8>, Proxied) {
        let is_ipv4 = self.0.index(2) == 0;
        let (client, destination) = (self.address(is_ipv4), self.address(is_ipv4));
        let id = (self.0.index(2) == 0).then(|| self.id());
        let mut tlvs = self.skipped();
        tlvs.extend(id.as_deref().map(vpc_endpoint));
        let crc_at = header(client, destination, &tlvs).len() + 3;
        let has_crc = self.0.index(2) == 0;
        if has_crc {
            tlvs.push(tlv(3, &[0; 4]));
        }
        tlvs.extend(self.skipped());
        let bytes = header(client, destination, &tlvs);
        let proxied = Proxied {
            client,
            destination,
            vpc_endpoint: id.and_then(|id| endpoint(&id)),
        };
        match has_crc {
            true => (with_crc(bytes, crc_at), proxied),
            false => (bytes, proxied),
        }
    }
}

/// Calls `check` with many headers, and a generator for each.
fn for_many(check: impl Fn(&[u8], Proxied, &mut Random)) {
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let (bytes, proxied) = random.header();
        check(&bytes, proxied, &mut random);
    }
}

#[test]
fn valid_headers_are_parsed() {
    for_many(|bytes, proxied, _| assert_eq!(parse(bytes), Ok(Header::Proxied(proxied))));
}

#[test]
fn a_header_that_ends_early_is_incomplete() {
    for_many(|bytes, _, _| {
        let prefix = Prefix::parse(bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(prefix.length(), bytes.len() - PREFIX);
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Err(HeaderError::Truncated), "{end}");
        }
        let more = [bytes, &[0x16]].concat();
        assert_eq!(
            parse(&more),
            Err(HeaderError::Truncated),
            "one byte more than announced"
        );
    });
}

#[test]
fn a_shorter_length_never_changes_the_addresses() {
    for_many(|bytes, proxied, random| {
        let end = PREFIX + random.0.index(bytes.len() - PREFIX + 1);
        let mut shorter = bytes[..end].to_vec();
        let length = u16::try_from(end - PREFIX).unwrap().to_be_bytes();
        shorter[14..16].copy_from_slice(&length);
        match parse(&shorter) {
            Ok(Header::Proxied(parsed)) => {
                assert_eq!(parsed.client, proxied.client);
                assert_eq!(parsed.destination, proxied.destination);
                let is_same = parsed.vpc_endpoint == proxied.vpc_endpoint;
                assert!(is_same || parsed.vpc_endpoint.is_none());
            }
            Ok(Header::Local) => panic!("the command is PROXY"),
            Err(_) => {}
        }
    });
}

#[test]
fn changed_headers_never_panic_and_ids_keep_their_form() {
    for_many(|bytes, _, random| {
        for _ in 0..200 {
            let mut mutated = bytes.to_vec();
            for _ in 0..=random.0.index(3) {
                let at = random.0.index(mutated.len());
                mutated[at] = random.0.byte();
            }
            if let Ok(Header::Proxied(parsed)) = parse(&mutated)
                && let Some(id) = parsed.vpc_endpoint
            {
                assert_eq!(endpoint(id.as_str()), Some(id));
            }
        }
    });
}

#[test]
fn any_bytes_after_a_prefix_are_parsed_or_an_error() {
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let rest = random.bytes(1_100);
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        let command = 0x20 + (random.0.byte() & 1);
        let bytes = [&SIGNATURE[..], &[command, 0x11], &length, &rest].concat();
        let outcome = parse(&bytes);
        let is_too_long = outcome == Err(HeaderError::TooLong);
        assert_eq!(is_too_long, rest.len() > MAX_LENGTH);
    }
}
