//! Texts that mean something: durations, sizes, addresses. Each says what would be right when one is wrong.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

/// A duration such as `"230ms"` or `"10s"`, within `range`.
pub(super) fn duration(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text)
        .map_err(|error| format!("is no duration ({error}); write it like \"230ms\" or \"10s\""))?;
    match range.contains(&parsed) {
        true => Ok(parsed),
        false => Err(format!(
            "must be from {:?} to {:?}",
            range.start(),
            range.end()
        )),
    }
}

/// A size such as `"64KiB"`, within `range` (bytes).
pub(super) fn size(text: &str, range: &RangeInclusive<usize>) -> Result<usize, String> {
    let wrong = |_| "is no size; write it like \"64KiB\"".to_owned();
    let parsed: ByteSize = text.parse().map_err(wrong)?;
    match usize::try_from(parsed.as_u64())
        .ok()
        .filter(|bytes| range.contains(bytes))
    {
        Some(bytes) => Ok(bytes),
        None => Err(format!(
            "must be from {} to {} bytes",
            range.start(),
            range.end()
        )),
    }
}

/// An address to listen on, such as `"0.0.0.0:443"` or `"[::1]:8443"`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |_| format!("{text:?} is no address; write it like \"0.0.0.0:443\"");
    text.parse().map_err(wrong)
}

/// Returns what is wrong with a name that is empty or has only blanks; none for any other name.
pub(super) fn blank(text: &str) -> Option<&'static str> {
    match text.trim() {
        "" if text.is_empty() => Some("is empty"),
        "" => Some("has only blanks"),
        _ => None,
    }
}

/// Bytes written as hex digits, at least one.
pub fn hex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "must be pairs of hex digits, such as \"0a1b\"".to_owned();
    let bytes = crate::hex::decode(text).filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_addresses_hex() {
        let range = Duration::from_millis(1)..=Duration::from_secs(60);
        assert_eq!(duration("230ms", &range), Ok(Duration::from_millis(230)));
        assert_eq!(duration("1m", &range), Ok(Duration::from_secs(60)));
        for bad in ["", "10", "ms", "-1s", "2m", "0ms"] {
            assert!(duration(bad, &range).is_err(), "{bad}");
        }
        assert_eq!(size("64KiB", &(1..=1 << 20)), Ok(65_536));
        assert_eq!(size("64 kB", &(1..=1 << 20)), Ok(64_000));
        for bad in ["", "lots", "2MiB", "-1"] {
            assert!(size(bad, &(1..=1 << 20)).is_err(), "{bad}");
        }
        assert!(address("0.0.0.0:443").is_ok() && address("[::1]:443").is_ok());
        assert!(address("localhost:443").is_err() && address("0.0.0.0").is_err());
        assert_eq!(hex("0aFF"), Ok(vec![10, 255]));
        for bad in ["", "0", "0x", "zz", "ä0", "+1"] {
            assert!(hex(bad).is_err(), "{bad}");
        }
    }
}
