//! Values that are written as strings: durations, sizes, addresses, bytes.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use thiserror::Error;

/// Why a string is not a value of the expected form.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ValueError {
    /// It is not a duration.
    #[error("is not a duration ({0}); write it like \"230ms\" or \"10s\"")]
    Duration(#[source] humantime::DurationError),
    /// It is not a size.
    #[error("is not a size; write it like \"64KiB\"")]
    Size,
    /// It is not a socket address.
    #[error("{0:?} is not an address; write it like \"0.0.0.0:443\"")]
    Address(String),
    /// It is not a sequence of bytes.
    #[error("must be pairs of hex digits, such as \"0a1b\"")]
    Hex,
    /// It is a duration outside of the permitted range.
    #[error("must be from {0:?} to {1:?}")]
    DurationRange(Duration, Duration),
    /// It is a size outside of the permitted range.
    #[error("must be from {0} to {1} bytes")]
    SizeRange(usize, usize),
}

/// Parses a duration such as `"230ms"` or `"10s"`, within `range`.
pub(crate) fn duration(
    text: &str,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, ValueError> {
    let parsed = humantime::parse_duration(text).map_err(ValueError::Duration)?;
    match range.contains(&parsed) {
        true => Ok(parsed),
        false => Err(ValueError::DurationRange(*range.start(), *range.end())),
    }
}

/// Parses a size such as `"64KiB"`, within `range` (bytes).
pub(crate) fn size(text: &str, range: &RangeInclusive<usize>) -> Result<usize, ValueError> {
    let parsed: ByteSize = text.parse().map_err(|_| ValueError::Size)?;
    let bytes = usize::try_from(parsed.as_u64()).ok();
    let bytes = bytes.filter(|bytes| range.contains(bytes));
    bytes.ok_or(ValueError::SizeRange(*range.start(), *range.end()))
}

/// Parses an address to listen on, such as `"0.0.0.0:443"` or `"[::1]:8443"`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, ValueError> {
    let error = |_| ValueError::Address(text.to_owned());
    text.parse().map_err(error)
}

/// Returns what is wrong with a name that is empty or has only blanks; `None` for any other name.
pub(crate) fn blank(text: &str) -> Option<&'static str> {
    match text.trim() {
        "" if text.is_empty() => Some("is empty"),
        "" => Some("has only blanks"),
        _ => None,
    }
}

/// Parses bytes that are written as hex digits. There must be at least one byte.
///
/// # Errors
/// `ValueError::Hex`.
pub fn hex(text: &str) -> Result<Vec<u8>, ValueError> {
    let bytes = crate::hex::decode(text).filter(|bytes| !bytes.is_empty());
    bytes.ok_or(ValueError::Hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_within_their_ranges() {
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
