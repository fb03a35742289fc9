//! The end of an audit trail's file: the last line, from which the chain continues, and the bytes that a crash left after it.
//!
//! After a crash of the machine, the disk can contain any part of the lines that were being written: incomplete lines, pages of zeros, and
//! complete lines after such a page.
//!
//! # Invariants
//! - After the last acknowledged line, all bytes that do not continue the chain are removed: no response depended on them.
//! - Elsewhere, only bytes that a crash can leave are removed: an incomplete line at the end, or everything from the first zero byte.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::audit::chain::{Line, Position, could_begin_a_line, seq_of_beginning};
use crate::audit::error::AuditError;
use crate::audit::reading::{CHUNK, read_line};

/// The size of the window at the end of a file in which a known line is searched, in bytes. Each further window is larger by this factor.
const WINDOW: u64 = 64 * 1024;
const FACTOR: u64 = 4;

/// The end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last line. None when the file has no line.
    pub last: Option<Position>,
    /// The length of all lines up to it, in bytes.
    pub whole: u64,
    /// The length of the lines up to the last one that is known to be acknowledged, in bytes.
    pub acknowledged: u64,
    /// The number of bytes after the last line, which a crash left.
    pub torn: u64,
}

impl Tail {
    /// Reads the end of a file, which must be a file of an audit trail. `known` is the number of the last acknowledged line. Only the lines
    /// after it are checked one by one. If it is none, all lines are checked.
    pub(super) fn read(path: &Path, file: &File, known: Option<u64>) -> Result<Self, AuditError> {
        let (tail, end) = check(file, known).map_err(AuditError::unusable(path))?;
        match end {
            End::Line => Ok(tail),
            End::Changed => Err(AuditError::Damaged(path.to_owned())),
            End::Foreign => {
                let why = match tail.last {
                    Some(_) => "its last line is not a line of an audit trail",
                    None => "it does not begin with a line of an audit trail",
                };
                Err(AuditError::Foreign(path.to_owned(), why))
            }
        }
    }
}

/// The kind of the last complete line.
#[derive(Clone, Copy)]
enum End {
    /// A line of the audit trail.
    Line,
    /// A line of the audit trail that does not match its hash.
    Changed,
    Foreign,
}

/// Returns the offset of an intact line near the end whose number is at most `known`, or 0.
fn begin_of_check(file: &File, known: u64) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut window = WINDOW;
    while window < length {
        if let Some(at) = line_up_to(file, length - window, known)? {
            return Ok(at);
        }
        window = window.saturating_mul(FACTOR);
    }
    Ok(0)
}

/// Returns the offset of the first intact line after `from` whose number is at most `known`.
fn line_up_to(file: &File, from: u64, known: u64) -> io::Result<Option<u64>> {
    let (mut reader, mut at, mut buffer) = (reader(file, from), from, Vec::new());
    // The window can begin within a line.
    read_line(&mut reader, &mut buffer)?;
    loop {
        at += buffer.len() as u64;
        buffer.clear();
        if !read_line(&mut reader, &mut buffer)? {
            return Ok(None);
        }
        if intact(&buffer).is_some_and(|line| line.seq <= known) {
            return Ok(Some(at));
        }
    }
}

/// Follows the chain to the end of the file, or to the bytes that a crash left.
fn check(file: &File, known: Option<u64>) -> io::Result<(Tail, End)> {
    let length = file.metadata()?.len();
    let begin = known.map_or(Ok(0), |known| begin_of_check(file, known))?;
    let mut tail = Tail {
        last: None,
        whole: begin,
        acknowledged: begin,
        torn: 0,
    };
    let (mut reader, mut buffer, mut end) = (reader(file, begin), Vec::new(), End::Line);
    while read_line(&mut reader, &mut buffer)? {
        let line = intact(&buffer);
        if line.as_ref().is_none_or(|line| !follows(tail.last, line)) {
            let is_removable = tail.is_unacknowledged(&buffer, known);
            if is_removable || matches!(end, End::Line) && can_be_from_crash(&buffer) {
                let is_audit_trail =
                    tail.last.is_some() || is_rest_of_audit_trail(&buffer, &mut reader)?;
                tail.torn = length.saturating_sub(tail.whole);
                return Ok((
                    tail,
                    if is_audit_trail {
                        End::Line
                    } else {
                        End::Foreign
                    },
                ));
            }
        }
        if !buffer.ends_with(b"\n") {
            break;
        }
        // A line that does not continue the chain is not from a crash. A verification will report it.
        end = end_with(&buffer);
        tail.add(line, buffer.len() as u64, known);
        buffer.clear();
    }
    Ok((tail, end))
}

impl Tail {
    fn add(&mut self, line: Option<Line<'_>>, length: u64, known: Option<u64>) {
        self.last = line.map(|line| line.position()).or(self.last);
        self.whole += length;
        let seq = self.last.map(|last| last.seq);
        if known.is_some_and(|known| seq.is_some_and(|seq| seq <= known)) {
            self.acknowledged = self.whole;
        }
    }

    /// Returns whether these bytes, which do not continue the chain, are after every acknowledged line.
    fn is_unacknowledged(&self, bytes: &[u8], known: Option<u64>) -> bool {
        let before = match self.last {
            Some(last) => Some(last.seq),
            None => seq_of_beginning(bytes).map(|seq| seq.saturating_sub(1)),
        };
        known.is_some_and(|known| before.is_some_and(|before| before >= known))
    }
}

fn intact(line: &[u8]) -> Option<Line<'_>> {
    Line::read_intact(line.strip_suffix(b"\n")?)
}

fn follows(last: Option<Position>, line: &Line<'_>) -> bool {
    last.is_none_or(|last| last.seq.checked_add(1) == Some(line.seq) && last.hash == line.prev)
}

/// Returns whether a crash can have left these bytes: they have no newline, or contain zeros.
fn can_be_from_crash(line: &[u8]) -> bool {
    !line.ends_with(b"\n") || line.contains(&0)
}

/// Returns whether a file without a complete line can be the rest of an audit trail after a crash: text and zeros with the beginning of a line.
fn is_rest_of_audit_trail(line: &[u8], rest: &mut impl BufRead) -> io::Result<bool> {
    let zeros = line.iter().position(|byte| *byte == 0);
    let begin = line.get(..zeros.unwrap_or(line.len()));
    let mut is_audit_trail = could_begin_a_line(begin.unwrap_or_default()) && is_text(line);
    let mut buffer = Vec::new();
    while is_audit_trail && read_line(rest, &mut buffer)? {
        is_audit_trail = is_text(&buffer);
        buffer.clear();
    }
    Ok(is_audit_trail)
}

fn is_text(bytes: &[u8]) -> bool {
    let is_text = |byte: &u8| matches!(byte, 0 | b'\n' | b' '..=b'~');
    bytes.iter().all(is_text)
}

fn end_with(line: &[u8]) -> End {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    match (Line::read(line), Line::read_intact(line)) {
        (_, Some(_)) => End::Line,
        (Some(_), None) => End::Changed,
        (None, None) => End::Foreign,
    }
}

fn reader(file: &File, offset: u64) -> BufReader<OffsetReader<'_>> {
    BufReader::with_capacity(CHUNK, OffsetReader { file, offset })
}

/// Reads from an offset, and does not change the offset of the file descriptor.
struct OffsetReader<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for OffsetReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
