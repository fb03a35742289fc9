//! The lines of a trail's files, in order, and the lines that the proxy adds to them.
//!
//! # Invariants
//! - No more than [`MAX_LINE`] of a file is in memory.
//! - The last file is opened at once: it may be renamed, and another one begun, while the others are read.
//! - Following a trail misses no line where one file ends and the next begins, also when the first one is renamed, compressed or deleted.
//! - Bytes that are not a line are handed out as one: the caller must notice them.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use super::line_reader::{MAX_LINE, naming};
use super::listing::{first_seq, trail_files};
use super::numbers::{Breaks, Numbers};
use super::source::{Source, identity_of, is_stream};
use crate::audit::chain::{Line, could_be_one_line};

/// The lines of some files.
pub struct Lines {
    waiting: VecDeque<PathBuf>,
    open: Option<Source>,
    buffer: Vec<u8>,
    /// Whether the buffer holds what was given out, and not the beginning of a line.
    is_given: bool,
    is_following: bool,
    /// The last of the files, until its turn comes.
    newest: Option<io::Result<Source>>,
    /// The numbers of the lines that were handed out.
    numbers: Numbers,
    /// Files of which no line was handed out.
    blank: Vec<PathBuf>,
    /// Whether the file that was opened last is one of them.
    is_blank: bool,
}

impl Lines {
    /// The lines of these files, in this order.
    pub fn of(files: Vec<PathBuf>) -> Self {
        Self {
            newest: files.last().map(|path| Source::open(path)),
            waiting: files.into(),
            open: None,
            buffer: Vec::new(),
            is_given: true,
            is_following: false,
            numbers: Numbers::default(),
            blank: Vec::new(),
            is_blank: false,
        }
    }

    /// The same; bytes behind the last newline of the last file wait for the rest of their line.
    pub fn following(files: Vec<PathBuf>) -> Self {
        let is_following = true;
        Self {
            is_following,
            ..Self::of(files)
        }
    }

    /// Returns the next line without its newline; none at the end of what there is now. Bytes behind the last newline of a file are
    /// returned as a line, unless they can be the beginning of one that is being written ([`Lines::torn`]).
    ///
    /// # Errors
    /// When a file cannot be read; the error names it.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(path) = self.waiting.pop_front() else {
                    return Ok(None);
                };
                self.open_next(path)?;
                continue;
            };
            if std::mem::take(&mut self.is_given) {
                self.buffer.clear();
            }
            let has_more = open.read_line(&mut self.buffer)?;
            let is_last = self.waiting.is_empty();
            if !has_more && !is_last {
                self.open = None;
            }
            let is_whole = self.buffer.ends_with(b"\n") || self.buffer.len() as u64 >= MAX_LINE;
            let is_rest = !has_more && !self.may_grow(is_last);
            if is_whole || is_rest && !self.buffer.is_empty() {
                return Ok(Some(self.give()));
            }
            self.is_given |= is_rest;
            if !has_more && is_last {
                return Ok(None);
            }
        }
    }

    /// Whether what is behind the last newline can still become a line.
    fn may_grow(&self, is_last: bool) -> bool {
        let is_whole = Line::read_intact(&self.buffer).is_some();
        is_last && (self.is_following || could_be_one_line(&self.buffer) && !is_whole)
    }

    fn open_next(&mut self, path: PathBuf) -> io::Result<()> {
        let newest = match self.waiting.is_empty() {
            true => self.newest.take(),
            false => None,
        };
        self.open = Some(newest.unwrap_or_else(|| Source::open(&path))?);
        self.blank.push(path);
        self.is_blank = true;
        Ok(())
    }

    fn give(&mut self) -> &[u8] {
        self.is_given = true;
        if std::mem::take(&mut self.is_blank) {
            self.blank.pop();
        }
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        if let Some(read) = Line::read(line) {
            self.numbers.add(read.seq);
        }
        line
    }

    /// Where the numbers of the lines so far do not follow one another.
    pub fn breaks(&self) -> Breaks {
        self.numbers.breaks
    }

    /// The highest number of a line so far; 0 when there was none.
    pub fn last_number(&self) -> u64 {
        self.numbers.highest
    }

    /// The files so far that had no line.
    pub fn blank_files(&self) -> &[PathBuf] {
        &self.blank
    }

    /// The number of bytes behind the last newline that may be the beginning of a line: it is being written, or a crash tore it.
    pub fn torn(&self) -> usize {
        match self.is_given {
            true => 0,
            false => self.buffer.len(),
        }
    }

    /// To be called at the end: looks whether the trail at `path` goes on in another file.
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
            self.waiting = files.into();
            return Ok(());
        };
        let ours = open.identity();
        let is_ours = |path: &PathBuf| path.metadata().is_ok_and(|m| identity_of(&m) == ours);
        let at = files.iter().position(is_ours);
        let (behind, last_seq) = (at.map_or(0, |at| at + 1), self.numbers.highest);
        let files = files.into_iter().skip(behind);
        // Ours may have been compressed or deleted: what it held is known by the numbers.
        let is_new = |path: &PathBuf| matches!(first_seq(path), Ok(Some(seq)) if seq > last_seq);
        self.waiting = match at {
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
    fn half_a_line_waits_for_its_end() {
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
    fn no_byte_behind_the_last_newline_is_left_out_silently() {
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
