//! `traceparent`, compared with the grammar of W3C Trace Context, section 3.2. Each line of the input is one field.

use http::{HeaderMap, HeaderValue};
use xks_proxy::server::fuzzing;

pub fn check(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(3) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("traceparent", value);
        }
    }
    let fields: Vec<_> = headers.get_all("traceparent").iter().collect();
    let expected = match fields.as_slice() {
        [field] => parsed(field.as_bytes()),
        _ => None,
    };
    assert_eq!(fuzzing::trace_context(&headers), expected);
}

/// Parses by position: version at 0, trace id at 3, parent id at 36, flags at 53. A later version may append text after a dash.
fn parsed(field: &[u8]) -> Option<(String, String, bool)> {
    let hex = |start: usize, length: usize| {
        let part = std::str::from_utf8(field.get(start..start + length)?).ok()?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.bytes().all(is_hex).then_some(part)
    };
    let (version, trace, parent, flags) = (hex(0, 2)?, hex(3, 32)?, hex(36, 16)?, hex(53, 2)?);
    let has_dashes = [2, 35, 52].iter().all(|place| field[*place] == b'-');
    let has_end = match version {
        "00" => field.len() == 55,
        "ff" => false,
        _ => matches!(field.get(55), None | Some(b'-')),
    };
    // A later version may append any text, but the whole value must be visible ASCII.
    let is_text = field.iter().all(|byte| matches!(byte, b'\t' | 0x20..0x7f));
    let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
    if !has_dashes || !has_end || !is_text || is_zero(trace) || is_zero(parent) {
        return None;
    }
    let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    Some((trace.to_owned(), parent.to_owned(), is_sampled))
}
