//! The lines of files, whatever is in them, one after the other; also those that are yet to come.
//!
//! # Invariants
//! - No more than [`MAX_LINE`] of a file is in memory.
//! - Who follows a trail misses no line where one file ends and another begins.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::tail::trail_files;

/// Far longer than any line that is written: a body, of which every character is escaped.
pub(super) const MAX_LINE: u64 = 16 * 1024 * 1024;

/// So much is read at once.
const CHUNK: usize = 1 << 20;

/// Reads the next line, with the newline that it ends with, behind what is in the buffer; false when there is nothing more. A line
/// that is longer than [`MAX_LINE`] comes in pieces.
pub(super) fn read(reader: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<bool> {
    Ok(reader.take(MAX_LINE).read_until(b'\n', buffer)? > 0)
}

/// Opens a file to be read from its beginning; an error names it.
pub(super) fn open(path: &Path) -> io::Result<BufReader<File>> {
    let file = File::open(path).map_err(naming(path))?;
    Ok(BufReader::with_capacity(CHUNK, file))
}

/// For `map_err`: the same error, saying which file it is about.
pub(super) fn naming(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.to_owned();
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The lines of some files.
pub struct Lines {
    waiting: VecDeque<PathBuf>,
    open: Option<Open>,
    buffer: Vec<u8>,
    /// Whether the buffer holds what was given out, and not the beginning of a line.
    is_given: bool,
}

struct Open {
    path: PathBuf,
    reader: BufReader<File>,
}

impl Lines {
    /// The lines of these files, in this order.
    pub fn of(files: Vec<PathBuf>) -> Self {
        Self {
            waiting: files.into(),
            open: None,
            buffer: Vec::new(),
            is_given: true,
        }
    }

    /// The next whole line without its newline; none at the end of what there is now. What stands behind the last newline of a file
    /// is a line only once it has one.
    ///
    /// # Errors
    /// When a file cannot be read; the error names it.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(path) = self.waiting.pop_front() else {
                    return Ok(None);
                };
                let reader = open(&path)?;
                self.open = Some(Open { path, reader });
                continue;
            };
            if std::mem::take(&mut self.is_given) {
                self.buffer.clear();
            }
            let has_more = read(&mut open.reader, &mut self.buffer);
            let has_more = has_more.map_err(naming(&open.path))?;
            if self.buffer.ends_with(b"\n") || self.buffer.len() as u64 >= MAX_LINE {
                self.is_given = true;
                let line = self.buffer.strip_suffix(b"\n");
                return Ok(Some(line.unwrap_or(&self.buffer)));
            }
            match (has_more, self.waiting.is_empty()) {
                (true, _) => {}
                (false, true) => return Ok(None),
                (false, false) => (self.open, self.is_given) = (None, true),
            }
        }
    }

    /// To be called at the end: looks whether the trail at `path` goes on in another file.
    ///
    /// # Errors
    /// When the directory or a file cannot be read.
    pub fn look_for_more(&mut self, path: &Path) -> io::Result<()> {
        let Some(open) = &self.open else {
            self.waiting = trail_files(path)?.into();
            return Ok(());
        };
        let ours = identity(&open.reader.get_ref().metadata()?);
        let is_ours = |path: &PathBuf| path.metadata().is_ok_and(|m| identity(&m) == ours);
        let files = trail_files(path)?;
        self.waiting = match files.iter().position(is_ours) {
            Some(at) => files.into_iter().skip(at + 1).collect(),
            // Ours has been deleted, or nothing is in it yet.
            None => files.into_iter().rev().take(1).collect(),
        };
        Ok(())
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;

    fn all(lines: &mut Lines) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push(String::from_utf8_lossy(line).into_owned());
        }
        found
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let [first, last] = ["a", "b"].map(|name| directory.path().join(name));
        fs::write(&first, "1\ntorn").unwrap();
        fs::write(&last, "2\n\nhal").unwrap();
        let mut lines = Lines::of(vec![first, last.clone()]);
        assert_eq!(all(&mut lines), ["1", "2", ""]);
        let mut file = fs::OpenOptions::new().append(true).open(&last).unwrap();
        file.write_all(b"f\nmore\n").unwrap();
        assert_eq!(all(&mut lines), ["half", "more"]);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let length = usize::try_from(MAX_LINE).unwrap() + 10;
        fs::write(&path, [vec![b'x'; length], b"\nnext\n".to_vec()].concat()).unwrap();
        let lengths = |found: Vec<String>| found.iter().map(String::len).collect::<Vec<_>>();
        let found = lengths(all(&mut Lines::of(vec![path])));
        assert_eq!(found, [length - 10, 10, 4]);
    }

    #[test]
    fn an_error_names_its_file() {
        let missing = PathBuf::from("/no/such/file");
        let error = Lines::of(vec![missing]).next_line().unwrap_err();
        assert!(error.to_string().starts_with("/no/such/file: "), "{error}");
    }
}
