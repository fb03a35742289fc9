//! Verification of an audit trail: finds the range of lines that is intact, and the first damage.
//!
//! # Invariants
//! - Files are read once, line by line. The memory does not depend on the size of the audit trail.
//! - A seal counts as genuine only if a [`SealVerifier`] has verified it. Lines after the last verified seal may have been
//!   removed; the report claims nothing about them.

mod report;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::chain::{Line, Position, could_be_one_line};
use super::checkpoint::{self, CheckpointLine, MAX_LAG, SealVerifier};
use super::reading::{MAX_LINE, Source};

pub use report::{ChainFault, Damage, ReportedLine, Verification};

/// Verifies the files in this order, up to the first damage. `anchor` is a line that is known from an earlier verification: it is in
/// these files, or it is the last line before them. `progress` is called repeatedly with the number of lines.
///
/// # Errors
/// When a file cannot be read; the error names it.
pub fn verify(
    files: &[PathBuf],
    anchor: Option<Position>,
    seal_verifier: Option<&dyn SealVerifier>,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Verification> {
    let mut verifier = Verifier {
        found: Verification::default(),
        recent: VecDeque::with_capacity(MAX_LAG),
        anchor,
        seal_verifier,
    };
    for (index, path) in files.iter().enumerate() {
        verifier.found.files += 1;
        let rest = files.get(index + 1..).unwrap_or_default();
        if let Some((line, damage)) = verifier.file(path, rest, progress)? {
            verifier.found.fault = Some(verifier.fault(path, line, damage));
            return Ok(verifier.found);
        }
    }
    if let (Some(anchor), Some(last)) = (verifier.anchor, files.last()) {
        let mut fault = verifier.fault(last, 0, Damage::AnchorMissing);
        fault.seq = anchor.seq;
        verifier.found.fault = Some(fault);
    }
    Ok(verifier.found)
}

struct Verifier<'a> {
    found: Verification,
    /// The last positions, from old to new. A checkpoint refers to one of them.
    recent: VecDeque<Recent>,
    /// The known line, until it is found.
    anchor: Option<Position>,
    seal_verifier: Option<&'a dyn SealVerifier>,
}

/// A line that was read.
#[derive(Clone, Copy)]
struct Recent {
    position: Position,
    /// The time in the line. None when it cannot be parsed.
    time: Option<SystemTime>,
    is_checkpoint: bool,
}

impl Verifier<'_> {
    fn file(
        &mut self,
        path: &Path,
        rest: &[PathBuf],
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<Option<(u64, Damage)>> {
        let mut source = Source::open(path)?;
        let (mut buffer, mut number) = (Vec::with_capacity(4096), 0);
        loop {
            buffer.clear();
            if !source.read_line(&mut buffer)? {
                return Ok(None);
            }
            number += 1;
            let Some(line) = buffer.strip_suffix(b"\n") else {
                // A crash can interrupt the write of a file's last line. The next file shows whether that line was acknowledged.
                self.found.torn_bytes += buffer.len() as u64;
                let is_wrong = buffer.len() as u64 >= MAX_LINE || !is_incomplete(&buffer);
                return Ok(is_wrong.then_some((number, Damage::NotALine)));
            };
            if let Err(damage) = self.line(line) {
                let damage = match damage {
                    Damage::Removed { until } => {
                        match comes_later(self.expected(), &mut source, rest)? {
                            true => Damage::Reordered { seq: until },
                            false => damage,
                        }
                    }
                    other => other,
                };
                return Ok(Some((number, damage)));
            }
            if self.found.lines.is_multiple_of(1024) {
                progress(self.found.lines);
            }
        }
    }

    /// Returns the expected number of the next line.
    fn expected(&self) -> u64 {
        let last = self.recent.back().map(|last| last.position);
        last.or(self.anchor).map_or(1, |last| last.seq + 1)
    }

    fn line(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        let line = Line::read_intact(bytes).ok_or_else(|| match Line::read(bytes) {
            Some(_) => Damage::Changed,
            None => Damage::NotALine,
        })?;
        self.begin_after_anchor(&line);
        self.follows(&line)?;
        if self.anchor.is_some_and(|anchor| anchor.seq == line.seq) {
            let is_equal = self.anchor == Some(line.position());
            self.anchor = None;
            is_equal.then_some(()).ok_or(Damage::AnchorMissing)?;
        }
        if line.kind == "checkpoint" {
            self.checkpoint(bytes)?;
        }
        self.add(&line, bytes);
        Ok(())
    }

    /// Continues from the known line if it is the last line before these files.
    fn begin_after_anchor(&mut self, first: &Line<'_>) {
        let is_before = |anchor: &Position| anchor.seq < first.seq;
        if let Some(anchor) = self.anchor.filter(is_before)
            && self.recent.is_empty()
        {
            self.anchor = None;
            self.recent.push_back(Recent {
                position: anchor,
                time: None,
                // The earlier verification covered this line.
                is_checkpoint: true,
            });
        }
    }

    fn follows(&self, line: &Line<'_>) -> Result<(), Damage> {
        let Some(last) = self.recent.back().map(|last| last.position) else {
            let is_first = line.seq != 1 || line.prev == Position::GENESIS.hash;
            return is_first.then_some(()).ok_or(Damage::Unlinked);
        };
        match line.seq {
            seq if seq <= last.seq => Err(Damage::Inserted { seq }),
            seq if seq > last.seq + 1 => Err(Damage::Removed { until: seq }),
            _ if line.prev != last.hash => Err(Damage::Unlinked),
            _ => Ok(()),
        }
    }

    fn checkpoint(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        let checkpoint = match checkpoint::read(bytes).ok_or(Damage::FalseSeal)? {
            CheckpointLine::Sealed(checkpoint) => checkpoint,
            CheckpointLine::Unsealed => {
                self.found.unsealed += 1;
                return Ok(());
            }
        };
        let oldest = self
            .recent
            .front()
            .map_or(u64::MAX, |oldest| oldest.position.seq);
        match self.recent_at(checkpoint.head.seq) {
            Some(position) if position == checkpoint.head => {}
            // The line that the seal covers is not in these files, so its hash cannot be compared. A copied genuine seal must not cover
            // lines that the HSM did not seal.
            None if checkpoint.head.seq < oldest => {
                self.found.seals_of_earlier_lines += 1;
                return Ok(());
            }
            _ => return Err(Damage::FalseSeal),
        }
        match self
            .seal_verifier
            .map(|verifier| verifier.is_genuine(&checkpoint))
        {
            None => self.found.seals_unchecked += 1,
            Some(Ok(false)) => return Err(Damage::FalseSeal),
            Some(Ok(true)) => {
                self.found.seals_verified += 1;
                self.found.signed_through = Some(checkpoint.head.seq);
                self.found.unsigned_since = self.first_entry_after(checkpoint.head.seq);
            }
            Some(Err(error)) => {
                self.found.seals_unchecked += 1;
                self.found.signature_error = Some(error);
            }
        }
        Ok(())
    }

    fn recent_at(&self, seq: u64) -> Option<Position> {
        let index = self.index_of(seq)?;
        self.recent.get(index).map(|recent| recent.position)
    }

    fn index_of(&self, seq: u64) -> Option<usize> {
        let oldest = self.recent.front()?.position.seq;
        usize::try_from(seq.checked_sub(oldest)?).ok()
    }

    /// Returns the time of the first line after this one that is not a checkpoint.
    fn first_entry_after(&self, seq: u64) -> Option<SystemTime> {
        let mut behind = self.recent.iter().skip(self.index_of(seq)? + 1);
        behind.find(|recent| !recent.is_checkpoint)?.time
    }

    fn add(&mut self, line: &Line<'_>, bytes: &[u8]) {
        if self.recent.len() == MAX_LAG {
            self.recent.pop_front();
        }
        let recent = Recent {
            position: line.position(),
            time: humantime::parse_rfc3339(line.time).ok(),
            is_checkpoint: line.kind == "checkpoint",
        };
        self.recent.push_back(recent);
        if !recent.is_checkpoint && self.found.unsigned_since.is_none() {
            self.found.unsigned_since = recent.time;
        }
        self.found.lines += 1;
        if line.kind == "recovered" {
            self.found.recovered.push(line.seq);
            self.found.missing.extend(missing(bytes));
        }
        let last = self.found.last.get_or_insert_with(|| reported(line));
        self.found.clock_went_back += u64::from(is_earlier(line.time, &last.time));
        last.position = line.position();
        line.time.clone_into(&mut last.time);
        self.found.first.get_or_insert_with(|| reported(line));
    }

    fn fault(&self, file: &Path, line: u64, damage: Damage) -> ChainFault {
        let (file, seq) = (file.to_owned(), self.expected());
        ChainFault {
            file,
            line,
            seq,
            damage,
        }
    }
}

/// Returns the range of lines that a start did not find, if the line records one.
fn missing(line: &[u8]) -> Option<(u64, u64)> {
    let line: serde_json::Value = serde_json::from_slice(line).ok()?;
    let number = |name: &str| line.get(name).and_then(serde_json::Value::as_u64);
    let is_missing = line.get("cause").is_some_and(|cause| cause == "missing");
    is_missing.then(|| Some((number("first")?, number("last")?)))?
}

/// Returns whether bytes without a newline can be an incomplete line: it is being written, or a crash interrupted the write.
fn is_incomplete(bytes: &[u8]) -> bool {
    let zeros = bytes.iter().position(|byte| *byte == 0);
    let begin = bytes.get(..zeros.unwrap_or(bytes.len()));
    could_be_one_line(begin.unwrap_or_default())
}

/// Returns whether the time went back by at least a second. Entries get their time before they are queued, so adjacent lines can be out of order
/// by less.
fn is_earlier(time: &str, last: &str) -> bool {
    let seconds = |time: &str| time.get(..19).map(str::to_owned);
    time < last && seconds(time) < seconds(last)
}

fn reported(line: &Line<'_>) -> ReportedLine {
    let (position, time) = (line.position(), line.time.to_owned());
    ReportedLine { position, time }
}

/// Returns whether a line with this number is in the files that were not read yet.
fn comes_later(seq: u64, source: &mut Source, rest: &[PathBuf]) -> io::Result<bool> {
    if has_line(seq, source)? {
        return Ok(true);
    }
    for path in rest {
        if has_line(seq, &mut Source::open(path)?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_line(seq: u64, source: &mut Source) -> io::Result<bool> {
    let mut buffer = Vec::new();
    while source.read_line(&mut buffer)? {
        let line = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
        if Line::read(line).is_some_and(|line| line.seq == seq) {
            return Ok(true);
        }
        buffer.clear();
    }
    Ok(false)
}
