//! JSON in printable ASCII only.

use std::io;

use serde_json::ser::Formatter;

/// Escapes all but printable ASCII: what some terminal takes for a line's end, or for a command, is no such thing here.
pub(super) struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let is_plain = |b: u8| (0x20..0x7f).contains(&b);
        if fragment.bytes().all(is_plain) {
            return writer.write_all(fragment.as_bytes());
        }
        fragment
            .encode_utf16()
            .try_for_each(|unit| match u8::try_from(unit) {
                Ok(byte) if is_plain(byte) => writer.write_all(&[byte]),
                _ => write!(writer, "\\u{unit:04x}"),
            })
    }
}
