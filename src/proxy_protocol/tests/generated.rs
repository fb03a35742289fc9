//! Properties of generated headers: what is built is parsed; what is cut or changed never panics and is never misread.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

/// SplitMix64: a seed names a header.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| self.byte()).collect()
    }

    fn address(&mut self, is_ipv4: bool) -> SocketAddr {
        let [a, b, c, d, e, f, ..] = self.next().to_le_bytes();
        let port = u16::from_le_bytes([e, f]);
        match is_ipv4 {
            true => (Ipv4Addr::new(a, b, c, d), port).into(),
            false => {
                let bits = u128::from(self.next()) << 64 | u128::from(self.next());
                (Ipv6Addr::from(bits), port).into()
            }
        }
    }

    fn id(&mut self) -> String {
        let alphabet = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let length = 8 + self.below(25);
        let characters = (0..length).map(|_| char::from(alphabet[self.below(36)]));
        characters.fold("vpce-".to_owned(), |mut id, character| {
            id.push(character);
            id
        })
    }

    /// TLVs that mean nothing to the parser.
    fn skipped(&mut self) -> Vec<Vec<u8>> {
        let one = |random: &mut Self| match random.byte() {
            0x03 => tlv(0x04, &random.bytes(60)),
            0xea => tlv(0xea, &[&[2], &random.bytes(60)[..]].concat()),
            kind => tlv(kind, &random.bytes(60)),
        };
        (0..self.below(6)).map(|_| one(self)).collect()
    }

    /// A valid header, and what it says.
    fn header(&mut self) -> (Vec<u8>, Proxied) {
        let is_ipv4 = self.below(2) == 0;
        let (client, destination) = (self.address(is_ipv4), self.address(is_ipv4));
        let id = (self.below(2) == 0).then(|| self.id());
        let mut tlvs = self.skipped();
        tlvs.extend(id.as_deref().map(vpc_endpoint));
        let crc_at = header(client, destination, &tlvs).len() + 3;
        let has_crc = self.below(2) == 0;
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

/// Calls `check` with many headers, and a source of chances for each.
fn for_many(check: impl Fn(&[u8], Proxied, &mut Random)) {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let (bytes, proxied) = random.header();
        check(&bytes, proxied, &mut random);
    }
}

#[test]
fn what_is_built_is_parsed() {
    for_many(|bytes, proxied, _| assert_eq!(parse(bytes), Ok(Header::Proxied(proxied))));
}

#[test]
fn a_header_that_is_cut_at_any_byte_is_incomplete() {
    for_many(|bytes, _, _| {
        let prefix = Prefix::parse(bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(prefix.length(), bytes.len() - PREFIX);
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Err(HeaderError::Truncated), "{end}");
        }
        let more = [bytes, &[0x16]].concat();
        assert_eq!(parse(&more), Err(HeaderError::Truncated), "a byte too many");
    });
}

#[test]
fn a_shorter_length_never_changes_the_addresses() {
    for_many(|bytes, proxied, random| {
        let end = PREFIX + random.below(bytes.len() - PREFIX + 1);
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
fn mutations_never_panic_and_ids_keep_their_form() {
    for_many(|bytes, _, random| {
        for _ in 0..200 {
            let mut mutated = bytes.to_vec();
            for _ in 0..=random.below(3) {
                let at = random.below(mutated.len());
                mutated[at] = random.byte();
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
fn any_bytes_behind_a_prefix_are_parsed_or_an_error() {
    for seed in 0..20_000 {
        let mut random = Random(seed);
        let rest = random.bytes(1_100);
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        let command = 0x20 + (random.byte() & 1);
        let bytes = [&SIGNATURE[..], &[command, 0x11], &length, &rest].concat();
        let outcome = parse(&bytes);
        let is_too_long = outcome == Err(HeaderError::TooLong);
        assert_eq!(is_too_long, rest.len() > MAX_LENGTH);
    }
}
