//! One line at a time, whatever a file holds.

use std::io::{self, BufRead, Read as _};
use std::path::Path;

/// Far longer than any line that is written: a body, of which every character is escaped. In bytes.
pub(in crate::audit) const MAX_LINE: u64 = 16 * 1024 * 1024;

/// The size of a read, in bytes.
pub(in crate::audit) const CHUNK: usize = 1 << 20;

/// Appends the next line to the buffer, with its newline; false when there is nothing more. A line that is longer than [`MAX_LINE`]
/// comes in pieces.
pub(in crate::audit) fn read_line(
    reader: &mut impl BufRead,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    Ok(reader.take(MAX_LINE).read_until(b'\n', buffer)? > 0)
}

/// For `map_err`: the same error, saying which file it is about.
pub(in crate::audit) fn naming(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.to_owned();
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
