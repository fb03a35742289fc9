//! The end of a trail's file: the last line from which the chain goes on, and what a crash left behind it.
//!
//! A crash of the machine leaves what the disk had of the lines that were being written: a part of them, pages of zeros, and whole
//! lines behind such a page.
//!
//! # Invariants
//! - Behind the last acknowledged line, everything that does not follow is cut off: no answer depended on it.
//! - Elsewhere only what a crash can leave is cut off: a part of a line at the end, or everything from the first zero byte on.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::audit::chain::{Line, Position, could_begin_a_line, seq_of_beginning};
use crate::audit::error::AuditError;
use crate::audit::reading::{CHUNK, read_line};

/// The first window at the end of a file in which a known line is looked for, in bytes; the next is larger by this factor.
const WINDOW: u64 = 64 * 1024;
const FACTOR: u64 = 4;

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last line; none when there is none.
    pub last: Option<Position>,
    /// The length of all lines up to it.
    pub whole: u64,
    /// The length of the lines up to the last one that is known to be acknowledged.
    pub acknowledged: u64,
    /// How many bytes a crash left behind it.
    pub torn: u64,
}

impl Tail {
    /// Reads the end of a file, which must be one of ours. `known` is the number of the last acknowledged line: the lines behind it are
    /// checked one by one. All lines are checked when it is none.
    pub(super) fn read(path: &Path, file: &File, known: Option<u64>) -> Result<Self, AuditError> {
        let (tail, end) = check(file, known).map_err(AuditError::unusable(path))?;
        match end {
            End::Line => Ok(tail),
            End::Changed => Err(AuditError::Damaged(path.to_owned())),
            End::Strange => {
                let why = match tail.last {
                    Some(_) => "its last line is none of a trail",
                    None => "it does not begin with a line of a trail",
                };
                Err(AuditError::Foreign(path.to_owned(), why))
            }
        }
    }
}

/// What the last line with an end is.
#[derive(Clone, Copy)]
enum End {
    /// A line of the trail.
    Line,
    /// A line of the trail that does not match its hash.
    Changed,
    Strange,
}

/// The offset of an intact line near the end whose number is at most `known`, or 0.
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

/// The first intact line behind this offset whose number is at most `known`.
fn line_up_to(file: &File, from: u64, known: u64) -> io::Result<Option<u64>> {
    let (mut reader, mut at, mut buffer) = (reader(file, from), from, Vec::new());
    // The window may begin within a line.
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

/// Follows the chain to the end of the file, or to what a crash left.
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
            let is_left = tail.is_unacknowledged(&buffer, known);
            if is_left || matches!(end, End::Line) && is_of_a_crash(&buffer) {
                let is_ours = tail.last.is_some() || is_all_ours(&buffer, &mut reader)?;
                tail.torn = length.saturating_sub(tail.whole);
                return Ok((tail, if is_ours { End::Line } else { End::Strange }));
            }
        }
        if !buffer.ends_with(b"\n") {
            break;
        }
        // A line that does not follow was there before the crash: a verification will report it.
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

    /// Whether these bytes, which do not follow, are behind every acknowledged line.
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

/// Whether no program wrote these bytes as a line: they have no end, or zeros.
fn is_of_a_crash(line: &[u8]) -> bool {
    !line.ends_with(b"\n") || line.contains(&0)
}

/// Whether a file without a whole line can be what a crash left of a trail: text and zeros that begin as a trail begins.
fn is_all_ours(line: &[u8], rest: &mut impl BufRead) -> io::Result<bool> {
    let zeros = line.iter().position(|byte| *byte == 0);
    let begin = line.get(..zeros.unwrap_or(line.len()));
    let mut is_ours = could_begin_a_line(begin.unwrap_or_default()) && is_text(line);
    let mut buffer = Vec::new();
    while is_ours && read_line(rest, &mut buffer)? {
        is_ours = is_text(&buffer);
        buffer.clear();
    }
    Ok(is_ours)
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
        (None, None) => End::Strange,
    }
}

fn reader(file: &File, offset: u64) -> BufReader<At<'_>> {
    BufReader::with_capacity(CHUNK, At { file, offset })
}

/// Reads from an offset on, and leaves the file's own offset alone.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
