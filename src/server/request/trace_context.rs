//! The trace of a request (W3C Trace Context, "Traceparent Header").
//!
//! # Invariants
//! - Trace id and parent id are lowercase hexadecimal of a fixed length, so no other text of the client reaches the log.
//! - A malformed header field is ignored. It never makes a request fail.

use http::HeaderMap;

/// The header field.
const TRACEPARENT: &str = "traceparent";

/// The number of characters of version 00, the only defined version: `00-<trace-id>-<parent-id>-<flags>`.
const LENGTH: usize = 55;

/// The flag of a client that records the trace.
const SAMPLED: u8 = 1;

/// A trace, and the span of the client in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct TraceContext {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub parent_id: String,
    /// True if the client records the trace.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Returns the trace if there is exactly one `traceparent` and it is well-formed.
    pub(in crate::server) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(TRACEPARENT).iter();
        let field = fields.next()?;
        match fields.next() {
            None => Self::parse(field.to_str().ok()?),
            Some(_) => None,
        }
    }

    fn parse(field: &str) -> Option<Self> {
        let mut parts = field.split('-');
        let version = digits(parts.next()?, 2)?;
        let trace_id = digits(parts.next()?, 32)?;
        let parent_id = digits(parts.next()?, 16)?;
        let flags = u8::from_str_radix(digits(parts.next()?, 2)?, 16).ok()?;
        // Later versions may append parts that begin with a dash; version 00 may not.
        let has_right_length = match version {
            "ff" => false,
            "00" => field.len() == LENGTH,
            _ => true,
        };
        let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
        if !has_right_length || is_zero(trace_id) || is_zero(parent_id) {
            return None;
        }
        Some(Self {
            trace_id: trace_id.to_owned(),
            parent_id: parent_id.to_owned(),
            is_sampled: flags & SAMPLED != 0,
        })
    }
}

/// Returns the part if it consists of `count` lowercase hexadecimal digits.
fn digits(part: &str, count: usize) -> Option<&str> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (part.len() == count && part.bytes().all(is_digit)).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn parse(fields: &[&str]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for field in fields {
            let value = HeaderValue::from_bytes(field.as_bytes()).unwrap();
            headers.append(TRACEPARENT, value);
        }
        TraceContext::of(&headers)
    }

    #[test]
    fn a_well_formed_trace_is_parsed() {
        for (flags, is_sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let expected = TraceContext {
                trace_id: TRACE.to_owned(),
                parent_id: PARENT.to_owned(),
                is_sampled,
            };
            assert_eq!(
                parse(&[&format!("00-{TRACE}-{PARENT}-{flags}")]),
                Some(expected)
            );
        }
        // Of a later version, the known parts are parsed.
        assert!(parse(&[&format!("01-{TRACE}-{PARENT}-01")]).is_some());
        assert!(parse(&[&format!("cc-{TRACE}-{PARENT}-01-what-comes")]).is_some());
    }

    #[test]
    fn a_malformed_trace_is_ignored() {
        let good = format!("00-{TRACE}-{PARENT}-01");
        let zeros = "0".repeat(32);
        for bad in [
            "",
            "00",
            &good[1..],
            &good[..54],
            &format!("{good}-"),
            &format!("{good}-00"),
            &format!("{good}0"),
            &format!(" {good}x"),
            &good.to_uppercase(),
            &format!("ff-{TRACE}-{PARENT}-01"),
            &format!("0-{TRACE}-{PARENT}-01"),
            &format!("01-{TRACE}-{PARENT}-01x"),
            &format!("00-{zeros}-{PARENT}-01"),
            &format!("00-{TRACE}-{}-01", &zeros[..16]),
            &format!("00-{TRACE}g-{PARENT}-01"),
            &format!("00-{}g-{PARENT}-01", &TRACE[..31]),
            &format!("00-{TRACE}-{PARENT}-0g"),
            &format!("00-{TRACE}-{PARENT}-+1"),
            &format!("00_{TRACE}_{PARENT}_01"),
            &format!("00-{TRACE}-{PARENT}-é"),
        ] {
            assert_eq!(parse(&[bad]), None, "{bad}");
        }
        assert_eq!(parse(&[&good, &good]), None, "two header fields");
        assert_eq!(parse(&[]), None);
    }
}
