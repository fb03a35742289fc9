//! `proxy-header`: measures the parser of PROXY protocol headers. `cargo run --release --example proxy-header`
//!
//! For each header it prints the time to parse it, and the ratio to the time to copy its bytes, which every receiver needs. The exit code is 1
//! if a header takes more than 2 µs.

use std::hint::black_box;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use xks_proxy::proxy_protocol::{Header, PREFIX, Prefix};

/// The longest time for one header.
const LIMIT: Duration = Duration::from_micros(2);

/// The headers of a round, and the rounds. The fastest round counts: other work on the machine only adds time.
const HEADERS: u32 = 100_000;
const ROUNDS: u32 = 9;

/// TCP over IPv4 from 10.20.30.40:51442 to 10.20.0.5:443; the length is missing.
const START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";
const ADDRESSES: &[u8] = &[10, 20, 30, 40, 10, 20, 0, 5, 0xc8, 0xf2, 0x01, 0xbb];

fn main() -> ExitCode {
    let endpoint = [b"\xea\0\x17\x01", &b"vpce-0123456789abcdef0"[..]].concat();
    let padding = [&[4, 3, 200][..], &[0; 968]].concat();
    let mut is_fast = true;
    for (name, tlvs) in [
        ("no TLV", Vec::new()),
        ("VPC endpoint", endpoint.clone()),
        (
            "CRC32C and VPC endpoint, as an NLB sends it",
            with_crc(&endpoint),
        ),
        (
            "the longest, with CRC32C and VPC endpoint",
            with_crc(&[endpoint, padding].concat()),
        ),
    ] {
        is_fast &= measure(name, &header(&tlvs));
    }
    ExitCode::from(u8::from(!is_fast))
}

/// Returns these TLVs after a CRC32C TLV without its value.
fn with_crc(tlvs: &[u8]) -> Vec<u8> {
    [&[3, 0, 4, 0, 0, 0, 0], tlvs].concat()
}

fn header(tlvs: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ADDRESSES.len() + tlvs.len()).unwrap_or(u16::MAX);
    let mut header = [START, &length.to_be_bytes(), ADDRESSES, tlvs].concat();
    if tlvs.first() == Some(&3) {
        let crc = !header.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
            })
        });
        let at = PREFIX + ADDRESSES.len() + 3;
        header.splice(at..at + 4, crc.to_be_bytes());
    }
    header
}

fn measure(name: &str, header: &[u8]) -> bool {
    let parsed = fastest(|| {
        let is_parsed = matches!(parse(black_box(header)), Some(Header::Proxied(_)));
        assert!(is_parsed, "the header is valid");
    });
    let mut copy = vec![0; header.len()];
    let copied = fastest(|| {
        copy.copy_from_slice(black_box(header));
        black_box(&copy);
    });
    let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9;
    let ratio = parsed.as_secs_f64() / copied.as_secs_f64();
    // A closed output stream is not an error.
    let _ = writeln!(
        io::stdout(),
        "{:4} bytes: {:7.1} ns, {ratio:5.1} times a copy ({:.1} ns): {name}",
        header.len(),
        nanoseconds(parsed),
        nanoseconds(copied),
    );
    parsed <= LIMIT
}

fn parse(header: &[u8]) -> Option<Header> {
    let (prefix, rest) = header.split_first_chunk()?;
    Prefix::parse(prefix).ok()?.parse_rest(rest).ok()
}

/// Returns the time of one call in the fastest round.
fn fastest(mut call: impl FnMut()) -> Duration {
    let round = |_| {
        let began = Instant::now();
        (0..HEADERS).for_each(|_| call());
        began.elapsed() / HEADERS
    };
    (0..ROUNDS).map(round).min().unwrap_or(Duration::MAX)
}
