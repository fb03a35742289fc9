//! The lines of an audit trail's files, in order, including lines that the proxy adds while the files are read.
//!
//! # Invariants
//! - At most [`MAX_LINE`] bytes of a file are in memory.
//! - The last file is opened immediately, because it can be renamed while the others are read.
//! - A reader that follows an audit trail misses no line at the change to the next file. The old file can be renamed, compressed or deleted.
//! - Bytes that are not a valid line are also returned: the caller must check them.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use super::line_reader::{MAX_LINE, naming};
use super::listing::{first_seq, trail_files};
use super::numbers::{Breaks, Numbers};
use super::source::{Source, identity_of, is_stream};
use crate::audit::chain::{Line, could_be_one_line};

/// A reader of the lines of several files.
pub struct Lines {
    /// Files that were not opened yet.
    pending: VecDeque<PathBuf>,
    open: Option<Source>,
    buffer: Vec<u8>,
    /// True if the buffer contains a line that was returned. Otherwise it contains the beginning of a line.
    is_returned: bool,
    is_following: bool,
    /// The last of the files, which was opened in advance.
    newest: Option<io::Result<Source>>,
    /// The numbers of the lines that were returned.
    numbers: Numbers,
    /// Files without any line.
    empty_files: Vec<PathBuf>,
    /// True if the current file had no line yet.
    is_empty_file: bool,
}

impl Lines {
    /// Reads the lines of these files, in this order.
    pub fn of(files: Vec<PathBuf>) -> Self {
        Self {
            newest: files.last().map(|path| Source::open(path)),
            pending: files.into(),
            open: None,
            buffer: Vec::new(),
            is_returned: true,
            is_following: false,
            numbers: Numbers::default(),
            empty_files: Vec::new(),
            is_empty_file: false,
        }
    }

    /// Reads the lines of these files as [`Lines::of`] does. Bytes after the last newline of the last file are kept until their line is
    /// complete.
    pub fn following(files: Vec<PathBuf>) -> Self {
        let is_following = true;
        Self {
            is_following,
            ..Self::of(files)
        }
    }

    /// Returns the next line without its newline. None at the current end of the last file. Bytes after the last newline of a file are
    /// returned as a line, unless they can be the beginning of a line that is being written ([`Lines::torn`]).
    ///
    /// # Errors
    /// When a file cannot be read; the error names it.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(path) = self.pending.pop_front() else {
                    return Ok(None);
                };
                self.open_next(path)?;
                continue;
            };
            if std::mem::take(&mut self.is_returned) {
                self.buffer.clear();
            }
            let has_more = open.read_line(&mut self.buffer)?;
            let is_last = self.pending.is_empty();
            if !has_more && !is_last {
                self.open = None;
            }
            let is_whole = self.buffer.ends_with(b"\n") || self.buffer.len() as u64 >= MAX_LINE;
            let is_rest = !has_more && !self.may_grow(is_last);
            if is_whole || is_rest && !self.buffer.is_empty() {
                return Ok(Some(self.take_line()));
            }
            self.is_returned |= is_rest;
            if !has_more && is_last {
                return Ok(None);
            }
        }
    }

    /// Returns whether the bytes after the last newline can still become a line.
    fn may_grow(&self, is_last: bool) -> bool {
        let is_whole = Line::read_intact(&self.buffer).is_some();
        is_last && (self.is_following || could_be_one_line(&self.buffer) && !is_whole)
    }

    fn open_next(&mut self, path: PathBuf) -> io::Result<()> {
        let newest = match self.pending.is_empty() {
            true => self.newest.take(),
            false => None,
        };
        self.open = Some(newest.unwrap_or_else(|| Source::open(&path))?);
        self.empty_files.push(path);
        self.is_empty_file = true;
        Ok(())
    }

    fn take_line(&mut self) -> &[u8] {
        self.is_returned = true;
        if std::mem::take(&mut self.is_empty_file) {
            self.empty_files.pop();
        }
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        if let Some(read) = Line::read(line) {
            self.numbers.add(read.seq);
        }
        line
    }

    /// Returns the gaps and repetitions in the numbers of the lines so far.
    pub fn breaks(&self) -> Breaks {
        self.numbers.breaks
    }

    /// Returns the highest number of a line so far. 0 before the first line.
    pub fn last_number(&self) -> u64 {
        self.numbers.highest
    }

    /// Returns the files so far that had no line.
    pub fn blank_files(&self) -> &[PathBuf] {
        &self.empty_files
    }

    /// Returns the number of bytes after the last newline that can be the beginning of a line. The line is being written, or a crash
    /// interrupted the write.
    pub fn torn(&self) -> usize {
        match self.is_returned {
            true => 0,
            false => self.buffer.len(),
        }
    }

    /// Looks for new files of the audit trail at `path`. The caller calls this at the end of the last file.
    ///
    /// # Errors
    /// When the directory or a file cannot be read, or `path` is a stream.
    pub fn look_for_more(&mut self, path: &Path) -> io::Result<()> {
        if path.exists() && is_stream(path)? {
            return Err(naming(path)(io::Error::other(
                "only a file can be followed",
            )));
        }
        let files = trail_files(path)?;
        let Some(open) = &self.open else {
            self.pending = files.into();
            return Ok(());
        };
        let current = open.identity();
        let is_current = |path: &PathBuf| path.metadata().is_ok_and(|m| identity_of(&m) == current);
        let at = files.iter().position(is_current);
        let (behind, last_seq) = (at.map_or(0, |at| at + 1), self.numbers.highest);
        let files = files.into_iter().skip(behind);
        // The current file may have been compressed or deleted. Files are new if their first number is higher than the last one that was read.
        let is_new = |path: &PathBuf| matches!(first_seq(path), Ok(Some(seq)) if seq > last_seq);
        self.pending = match at {
            Some(_) => files.collect(),
            None => files.filter(is_new).collect(),
        };
        Ok(())
    }
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
    fn an_incomplete_line_is_returned_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let [first, last] = ["a", "b"].map(|name| directory.path().join(name));
        fs::write(&first, "1\n").unwrap();
        fs::write(&last, "2\n\nhal").unwrap();
        let mut lines = Lines::following(vec![first, last.clone()]);
        assert_eq!(all(&mut lines), ["1", "2", ""]);
        let mut file = fs::OpenOptions::new().append(true).open(&last).unwrap();
        file.write_all(b"f\nmore\n").unwrap();
        assert_eq!(all(&mut lines), ["half", "more"]);
    }

    #[test]
    fn no_byte_after_the_last_newline_is_omitted_silently() {
        let directory = tempfile::tempdir().unwrap();
        let [first, last] = ["a", "b"].map(|name| directory.path().join(name));
        let begin = "{\"v\":1,\"seq\":7,\"ti";
        fs::write(&first, format!("1\n{begin}")).unwrap();
        for (end, line, torn) in [
            ("hal", Some("hal"), 0),
            (begin, None, begin.len()),
            ("", None, 0),
        ] {
            fs::write(&last, format!("2\n{end}")).unwrap();
            let mut lines = Lines::of(vec![first.clone(), last.clone()]);
            let mut expected = vec!["1", begin, "2"];
            expected.extend(line);
            assert_eq!(all(&mut lines), expected);
            assert_eq!(lines.torn(), torn);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_returned_in_pieces() {
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
