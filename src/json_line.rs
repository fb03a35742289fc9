//! One JSON object in one line, written straight through: each request has one in the log and one in the audit trail, and a serializer for
//! everything costs as much as the check of a signature.

mod outside;

use std::io;
use std::net::SocketAddr;

use serde::Serialize;
use serde_json::ser::Formatter;

pub use outside::{MAX_LOGGED, OutsideText};

/// An object that is being written: its members so far. Names are identifiers of this program.
pub struct JsonLine {
    out: Vec<u8>,
    is_ascii: bool,
}

impl JsonLine {
    /// An object without members, in a buffer of this size. With `is_ascii` all but printable ASCII is escaped: what some terminal takes for a
    /// line's end, or for a command, is no such thing then.
    pub fn begin(capacity: usize, is_ascii: bool) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(b'{');
        Self { out, is_ascii }
    }

    /// A text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        // Nearly all texts are plain; one look at all bytes is quicker than a stop at the first that is not.
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

    /// A text, if there is one.
    pub fn text_of(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A text from outside, if there is one.
    pub fn outside_of(&mut self, name: &str, text: Option<&OutsideText<'_>>) {
        self.text_of(name, text.map(OutsideText::as_str));
    }

    /// A number, if there is one.
    pub fn number_of(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.value(name, &number);
        }
    }

    /// An address, if there is one.
    pub fn address_of(&mut self, name: &str, address: Option<SocketAddr>) {
        if let Some(address) = address {
            self.value(name, &address);
        }
    }

    /// Whatever else JSON can hold; null when it cannot.
    pub fn value(&mut self, name: &str, value: &impl Serialize) {
        self.name(name);
        self.serialize(value);
    }

    /// The same under a name that may be any text.
    pub fn value_named(&mut self, name: &str, value: &impl Serialize) {
        self.comma();
        self.serialize(&name);
        self.out.push(b':');
        self.serialize(value);
    }

    /// Bytes that are JSON already, or within the quotes that they bring.
    pub fn raw(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        write(&mut self.out);
    }

    /// An object as a member: what `fill` writes are its members.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.name(name);
        self.out.push(b'{');
        fill(self);
        self.out.push(b'}');
    }

    /// The members of an object that is JSON already, braces and all.
    pub fn members(&mut self, object: &[u8]) {
        let inner = object.strip_prefix(b"{").and_then(|o| o.strip_suffix(b"}"));
        if let Some(members) = inner.filter(|members| !members.is_empty()) {
            self.comma();
            self.out.extend_from_slice(members);
        }
    }

    /// The whole object.
    pub fn end(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        // Some are Rust's keywords.
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

/// Printable ASCII that stands for itself in JSON.
fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'
}

/// Escapes all but printable ASCII.
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
    fn members_are_what_was_given_in_their_order() {
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
    fn ascii_is_printable_and_nothing_else() {
        let line = line(true);
        assert!(
            line.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{line}"
        );
    }

    #[test]
    fn every_byte_that_is_plain_stands_for_itself() {
        for byte in 0..=0x7f_u8 {
            let text = char::from(byte).to_string();
            let quoted = serde_json::to_string(&text).unwrap();
            assert!(!is_plain(byte) || quoted == format!("\"{text}\""), "{byte}");
        }
    }
}
