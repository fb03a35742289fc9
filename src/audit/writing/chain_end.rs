//! The end of the chain when a start finds it: the last line in the files, or the position file.
//!
//! # Invariants
//! - No number is used twice: the chain goes on behind the last acknowledged line of which anything here tells.
//! - A file that is missing or unreadable is logged and recorded, and never keeps the proxy from starting.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::crash::{make_durable, set_aside};
use super::disk::{Access, Disk};
use super::position::Recorded;
use super::tail::Tail;

use crate::audit::chain::{Line, Position};
use crate::audit::error::AuditError;
use crate::audit::reading::{Source, candidates, first_seq};
use crate::audit::record::{Entry, Kind};
use crate::hex;

/// The position from which the chain goes on, and what to record about it.
pub(super) struct ChainEnd {
    pub position: Position,
    pub recovered: Vec<Entry>,
}

impl ChainEnd {
    /// `last` is the last line of the file with the trail's name, if it has one. `had_lock`: a proxy has been here before.
    pub(super) fn find(
        disk: &dyn Disk,
        path: &Path,
        last: Option<Position>,
        recorded: Recorded,
        had_lock: bool,
    ) -> Result<Self, AuditError> {
        if let Some(last) = last {
            return Ok(Self::of(last, recorded.position()));
        }
        let others = Others::find(disk, path, recorded.position())?;
        let found = others.last.unwrap_or(Position::GENESIS);
        let mut end = Self::of(found, recorded.position());
        let why = match recorded {
            Recorded::At(_) => None,
            Recorded::Unreadable => Some("the position file is damaged"),
            Recorded::Nothing => had_lock.then_some(
                "the lock file is there, but neither the file of the trail nor the position file has content",
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

    /// Behind files that end with `last`, of a trail whose last acknowledged line is `known`.
    fn of(last: Position, known: Option<Position>) -> Self {
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
        "acknowledged lines are in no file of the audit trail; if nobody moved them away, they are lost"
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
        "the end of the audit trail is uncertain; the trail goes on behind the last line that could be read"
    );
    recovered(&serde_json::json!({ "cause": "unknown_position", "error": why }))
}

fn recovered(members: &serde_json::Value) -> Entry {
    Entry::new(Kind::Recovered, members)
}

/// What the files say that do not have the trail's name.
#[derive(Default)]
struct Others {
    last: Option<Position>,
    /// What a crash left in the newest of them.
    recovered: Option<Entry>,
    /// Why one of them could not be read.
    unreadable: Option<String>,
}

impl Others {
    fn find(disk: &dyn Disk, path: &Path, known: Option<Position>) -> Result<Self, AuditError> {
        let mut others = Self::default();
        let known = known.map(|known| known.seq);
        for (_, file) in others.newest_first(path) {
            match last_line(&file, known) {
                Ok(Some((last, tail))) => {
                    others.last = Some(last);
                    if let Some(tail) = tail {
                        others.recovered = settled(disk, path, &file, tail)?;
                    }
                    break;
                }
                Ok(None) => {}
                Err(error) => others.note(&file, &error),
            }
        }
        Ok(others)
    }

    fn newest_first(&mut self, path: &Path) -> Vec<(u64, PathBuf)> {
        let found = candidates(path).unwrap_or_else(|error| {
            self.note(path, &error);
            Vec::new()
        });
        let mut files = Vec::new();
        for file in found.into_iter().map(|file| file.path) {
            match first_seq(&file) {
                _ if file == path => {}
                Ok(seq) => files.extend(seq.map(|seq| (seq, file))),
                Err(error) => self.note(&file, &error),
            }
        }
        files.sort();
        files.reverse();
        files
    }

    fn note(&mut self, file: &Path, error: &io::Error) {
        let path = file.display();
        tracing::warn!(%path, %error, "a file of the audit trail cannot be read");
        self.unreadable = Some(error.to_string());
    }
}

/// The last line of a file that is not written any more, and how the file ends unless it is compressed. Of a compressed file that breaks off,
/// the last line that can be read.
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

/// Makes sure that a file that was renamed while it was written is whole, and on the disk: the chain goes on behind it.
fn settled(
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
