//! Reads a file line by line, with a limit for the length of a line.

use std::io::{self, BufRead, Read as _};
use std::path::Path;

/// The maximum length of a line, in bytes. No line that the proxy writes is as long, even if every character of a request body is escaped.
pub(in crate::audit) const MAX_LINE: u64 = 16 * 1024 * 1024;

/// The size of a read buffer, in bytes.
pub(in crate::audit) const CHUNK: usize = 1 << 20;

/// Appends the next line, with its newline, to the buffer. Returns false at the end of the file. A line that is longer than [`MAX_LINE`] is
/// returned in pieces.
pub(in crate::audit) fn read_line(
    reader: &mut impl BufRead,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    Ok(reader.take(MAX_LINE).read_until(b'\n', buffer)? > 0)
}

/// Returns a function, for `map_err`, that adds the path to an I/O error.
pub(in crate::audit) fn naming(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.to_owned();
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
