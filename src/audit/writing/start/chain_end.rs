//! The end of the chain at a start: the last line in the files, or the position in the position file.
//!
//! # Invariants
//! - No number is used twice: the chain continues after the last acknowledged line that any of these files shows.
//! - A missing or unreadable file is logged and recorded. It never prevents a start.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::crash::{make_durable, set_aside};
use super::tail::Tail;
use crate::audit::writing::disk::{Access, Disk};
use crate::audit::writing::position::Recorded;

use crate::audit::chain::{Line, Position};
use crate::audit::error::AuditError;
use crate::audit::reading::{Source, candidates, first_seq};
use crate::audit::record::{Entry, Kind};
use crate::hex;

/// The position from which the chain continues, and the entries to record about it.
pub(super) struct ChainEnd {
    pub position: Position,
    pub recovered: Vec<Entry>,
}

impl ChainEnd {
    /// Finds the end of the chain. `last` is the last line of the file with the audit trail's path, if it has one. `had_lock` is true if
    /// the lock file existed: a proxy has used the audit trail before.
    pub(super) fn find(
        disk: &dyn Disk,
        path: &Path,
        last: Option<Position>,
        recorded: Recorded,
        had_lock: bool,
    ) -> Result<Self, AuditError> {
        if let Some(last) = last {
            return Ok(Self::new(last, recorded.position()));
        }
        let others = OtherFiles::find(disk, path, recorded.position())?;
        let found = others.last.unwrap_or(Position::GENESIS);
        let mut end = Self::new(found, recorded.position());
        let why = match recorded {
            Recorded::At(_) => None,
            Recorded::Unreadable => Some("the position file is damaged"),
            Recorded::Nothing => had_lock.then_some(
                "the lock file exists, but both the file of the audit trail and the position file are empty or missing",
            ),
        };
        if recorded.position().is_none()
            && let Some(why) = others.unreadable.or(why.map(str::to_owned))
        {
            end.recovered.push(unknown(end.position, &why));
        }
        let recovered = others.recovered.into_iter().chain(end.recovered);
        Ok(Self {
            recovered: recovered.collect(),
            position: end.position,
        })
    }

    /// Returns the end of an audit trail whose files end with `last` and whose last acknowledged line is `known`.
    fn new(last: Position, known: Option<Position>) -> Self {
        let known = known.unwrap_or(last);
        let (position, remark) = match known.seq.cmp(&last.seq) {
            std::cmp::Ordering::Greater => (known, Some(missing(last, known))),
            std::cmp::Ordering::Equal if known != last => (last, Some(replaced(known))),
            _ => (last, None),
        };
        Self {
            position,
            recovered: remark.into_iter().collect(),
        }
    }
}

fn missing(found: Position, known: Position) -> Entry {
    let (first, last) = (found.seq + 1, known.seq);
    tracing::error!(
        first,
        last,
        "acknowledged lines are missing from the files of the audit trail; they are lost unless their file was moved away"
    );
    recovered(&serde_json::json!({ "cause": "missing", "first": first, "last": last }))
}

fn replaced(known: Position) -> Entry {
    let (seq, hash) = (known.seq, hex::encode(&known.hash));
    tracing::error!(seq, "the last line of the audit trail was replaced");
    recovered(&serde_json::json!({ "cause": "replaced", "line": seq, "was": hash }))
}

fn unknown(position: Position, why: &str) -> Entry {
    let last = position.seq;
    tracing::error!(
        last,
        why,
        "the end of the audit trail is uncertain; continuing after the last line that could be read"
    );
    recovered(&serde_json::json!({ "cause": "unknown_position", "error": why }))
}

fn recovered(members: &serde_json::Value) -> Entry {
    Entry::new(Kind::Recovered, members)
}

/// The result of reading the files that do not have the audit trail's path.
#[derive(Default)]
struct OtherFiles {
    last: Option<Position>,
    /// The entry about bytes that a crash left in the newest of them.
    recovered: Option<Entry>,
    /// The reason why one of them could not be read.
    unreadable: Option<String>,
}

impl OtherFiles {
    fn find(disk: &dyn Disk, path: &Path, known: Option<Position>) -> Result<Self, AuditError> {
        let mut others = Self::default();
        let known = known.map(|known| known.seq);
        for (_, file) in others.newest_first(path) {
            match last_line(&file, known) {
                Ok(Some((last, tail))) => {
                    others.last = Some(last);
                    if let Some(tail) = tail {
                        others.recovered = complete(disk, path, &file, tail)?;
                    }
                    break;
                }
                Ok(None) => {}
                Err(error) => others.add_unreadable(&file, &error),
            }
        }
        Ok(others)
    }

    fn newest_first(&mut self, path: &Path) -> Vec<(u64, PathBuf)> {
        let found = candidates(path).unwrap_or_else(|error| {
            self.add_unreadable(path, &error);
            Vec::new()
        });
        let mut files = Vec::new();
        for file in found.into_iter().map(|file| file.path) {
            match first_seq(&file) {
                _ if file == path => {}
                Ok(seq) => files.extend(seq.map(|seq| (seq, file))),
                Err(error) => self.add_unreadable(&file, &error),
            }
        }
        files.sort();
        files.reverse();
        files
    }

    fn add_unreadable(&mut self, file: &Path, error: &io::Error) {
        let path = file.display();
        tracing::warn!(%path, %error, "cannot read a file of the audit trail");
        self.unreadable = Some(error.to_string());
    }
}

/// Returns the last line of a file that the writer does not use any more, and the end of the file unless it is compressed. For an
/// incomplete compressed file, returns the last line that can be read.
fn last_line(path: &Path, known: Option<u64>) -> io::Result<Option<(Position, Option<Tail>)>> {
    let tail = Tail::read(path, &File::open(path)?, known);
    if let Ok((tail, Some(last))) = tail.map(|tail| (tail, tail.last)) {
        return Ok(Some((last, Some(tail))));
    }
    let (mut source, mut line, mut last) = (Source::open(path)?, Vec::new(), None);
    while let Ok(true) = source.read_line(&mut line) {
        let whole = line.strip_suffix(b"\n").unwrap_or_default();
        let position = Line::read_intact(whole).map(|line| line.position());
        last = position.or(last);
        line.clear();
    }
    Ok(last.map(|last| (last, None)))
}

/// Completes a file that was renamed while it was written: its lines must be on the disk, because the chain continues after them.
fn complete(
    disk: &dyn Disk,
    path: &Path,
    file: &Path,
    tail: Tail,
) -> Result<Option<Entry>, AuditError> {
    make_durable(disk, file, tail).map_err(AuditError::unusable(file))?;
    if tail.torn == 0 {
        return Ok(None);
    }
    let opened = disk.open(file, Access::Append);
    let opened = opened.map_err(AuditError::unusable(file))?;
    set_aside(disk, path, &opened, tail)
}
