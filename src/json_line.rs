//! Writes one JSON object as one line. Each request has a line in the log and a line in the audit trail. A general serializer would cost as
//! much as the verification of a signature.

mod outside;

use std::io;
use std::net::SocketAddr;

use serde::Serialize;
use serde_json::ser::Formatter;

pub use outside::{MAX_LOGGED, OutsideText};

/// An object that is being written. The names of members are identifiers of this program.
pub struct JsonLine {
    out: Vec<u8>,
    is_ascii: bool,
}

impl JsonLine {
    /// Begins an object, in a buffer of `capacity` bytes. With `is_ascii`, all characters except printable ASCII are escaped, so that no
    /// terminal interprets them as the end of a line or as a command.
    pub fn begin(capacity: usize, is_ascii: bool) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(b'{');
        Self { out, is_ascii }
    }

    /// Adds a text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        // Nearly all texts are plain. A check of all bytes is faster than a loop that stops at the first special byte.
        if text
            .bytes()
            .fold(true, |plain, byte| plain & is_plain(byte))
        {
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
        } else {
            self.serialize(&text);
        }
    }

    /// Adds a text, unless it is none.
    pub fn text_of(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// Adds a text from outside, unless it is none.
    pub fn outside_of(&mut self, name: &str, text: Option<&OutsideText<'_>>) {
        self.text_of(name, text.map(OutsideText::as_str));
    }

    /// Adds a number, unless it is none.
    pub fn number_of(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.value(name, &number);
        }
    }

    /// Adds an address, unless it is none.
    pub fn address_of(&mut self, name: &str, address: Option<SocketAddr>) {
        if let Some(address) = address {
            self.value(name, &address);
        }
    }

    /// Adds any value, or null if the value cannot be represented in JSON.
    pub fn value(&mut self, name: &str, value: &impl Serialize) {
        self.name(name);
        self.serialize(value);
    }

    /// Adds any value as [`JsonLine::value`] does, under a name that can be any text.
    pub fn value_named(&mut self, name: &str, value: &impl Serialize) {
        self.comma();
        self.serialize(&name);
        self.out.push(b':');
        self.serialize(value);
    }

    /// Adds a member whose value `write` appends. The appended bytes must be valid JSON, quotation marks included.
    pub fn raw(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        write(&mut self.out);
    }

    /// Adds an object as a member. `fill` adds the members of that object.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.name(name);
        self.out.push(b'{');
        fill(self);
        self.out.push(b'}');
    }

    /// Adds the members of an object that is already JSON, with its braces.
    pub fn members(&mut self, object: &[u8]) {
        let inner = object.strip_prefix(b"{").and_then(|o| o.strip_suffix(b"}"));
        if let Some(members) = inner.filter(|members| !members.is_empty()) {
            self.comma();
            self.out.extend_from_slice(members);
        }
    }

    /// Ends the object and returns its bytes.
    pub fn end(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        // Names that are keywords of Rust have the prefix r#.
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn comma(&mut self) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
    }

    fn serialize(&mut self, value: &impl Serialize) {
        let start = self.out.len();
        let written = match self.is_ascii {
            true => write_ascii(&mut self.out, value),
            false => serde_json::to_writer(&mut self.out, value),
        };
        if written.is_err() {
            self.out.truncate(start);
            self.out.extend_from_slice(b"null");
        }
    }
}

/// Writes JSON in printable ASCII only.
///
/// # Errors
/// When the value cannot be JSON.
pub fn write_ascii(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Ascii))
}

/// Returns whether the byte is printable ASCII that JSON does not escape.
fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'
}

/// Escapes all characters except printable ASCII.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let is_printable = |b: u8| (0x20..0x7f).contains(&b);
        if fragment.bytes().all(is_printable) {
            return writer.write_all(fragment.as_bytes());
        }
        fragment
            .encode_utf16()
            .try_for_each(|unit| match u8::try_from(unit) {
                Ok(byte) if is_printable(byte) => writer.write_all(&[byte]),
                _ => write!(writer, "\\u{unit:04x}"),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn line(is_ascii: bool) -> String {
        let mut line = JsonLine::begin(8, is_ascii);
        line.text("plain", "a b");
        line.text_of("r#type", Some("q\"b\\n\n\u{7f}é\u{2028}😀"));
        line.text_of("none", None);
        line.number_of("n", Some(u64::MAX));
        line.address_of("peer", "127.0.0.1:1".parse().ok());
        line.object("empty", |_| ());
        line.object("inner", |line| {
            line.value("list", &["x"]);
            line.value("yes", &true);
            line.value_named("a \"name\u{7f}", &1);
        });
        line.raw("raw", |out| out.extend_from_slice(b"\"t\""));
        line.value("not", &f64::NAN);
        String::from_utf8(line.end()).unwrap()
    }

    #[test]
    fn members_are_written_in_order() {
        let expected = json!({
            "plain": "a b", "type": "q\"b\\n\n\u{7f}é\u{2028}😀", "n": u64::MAX, "peer": "127.0.0.1:1",
            "empty": {}, "inner": { "list": ["x"], "yes": true, "a \"name\u{7f}": 1 }, "raw": "t", "not": null,
        });
        for is_ascii in [false, true] {
            let line = line(is_ascii);
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
            assert!(
                line.starts_with("{\"plain\":\"a b\",\"type\":\"q"),
                "{line}"
            );
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn an_ascii_line_contains_printable_ascii_only() {
        let line = line(true);
        assert!(
            line.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{line}"
        );
    }

    #[test]
    fn plain_bytes_are_not_escaped_in_json() {
        for byte in 0..=0x7f_u8 {
            let text = char::from(byte).to_string();
            let quoted = serde_json::to_string(&text).unwrap();
            assert!(!is_plain(byte) || quoted == format!("\"{text}\""), "{byte}");
        }
    }
}
