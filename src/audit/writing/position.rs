//! The position file: `<trail>.position` beside the audit trail contains the position of the last acknowledged line.
//!
//! A start needs it when the file with the last line was compressed, moved away or deleted.
//!
//! # Invariants
//! - It never contains the position of a line that was not acknowledged: it is written after the line.
//! - An interrupted write loses at most the newest position: two slots in different sectors are written alternately, each with a checksum.
//! - An error of this file never prevents the writing of a line.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Access, Disk, beside};
use crate::audit::chain::{Position, sha256};
use crate::audit::settings::POSITION;
use crate::hex;

/// The size of a slot, in bytes. A disk writes a sector of this size as a whole.
const SLOT: usize = 512;

const SLOTS: u64 = 2;

/// The beginning of each slot. It distinguishes a position file from other text files.
const FORM: &str = "xks-audit-position-1";

/// The position file of an audit trail.
pub(in crate::audit) struct PositionFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: File,
    /// The slot that is written next.
    next: u64,
    pub is_failing: bool,
}

/// The content of the position file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// The file did not exist or was empty.
    Nothing,
    /// The last position.
    At(Position),
    /// The file has content, but no slot is intact.
    Unreadable,
}

impl Recorded {
    pub(super) fn position(self) -> Option<Position> {
        match self {
            Self::At(position) => Some(position),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

impl PositionFile {
    /// Opens or creates the file, and reads it.
    pub(super) fn open(disk: &Arc<dyn Disk>, path: PathBuf) -> io::Result<(Self, Recorded)> {
        let file = disk.open(&path, Access::Replace)?;
        let newest = newest(&file);
        let recorded = match newest {
            Some((position, _)) => Recorded::At(position),
            None if file.metadata()?.len() == 0 => Recorded::Nothing,
            None => Recorded::Unreadable,
        };
        let position_file = Self {
            disk: Arc::clone(disk),
            path,
            file,
            next: newest.map_or(0, |(_, slot)| (slot + 1) % SLOTS),
            is_failing: false,
        };
        Ok((position_file, recorded))
    }

    /// Writes the position. A crash of the machine can lose it until [`PositionFile::sync`] is called.
    pub(super) fn write(&mut self, position: Position) {
        let written = self.put(position);
        self.report(written);
    }

    /// Writes the position, and ensures that it is on the disk.
    pub(super) fn sync(&mut self, position: Position) {
        let synced = self.put(position).and_then(|()| self.disk.sync(&self.file));
        self.report(synced);
    }

    fn put(&mut self, position: Position) -> io::Result<()> {
        let (bytes, offset) = (encode(position), self.next * SLOT as u64);
        self.disk.write_at(&self.file, &bytes, offset)?;
        self.next = (self.next + 1) % SLOTS;
        Ok(())
    }

    /// Logs an error, but only the first of consecutive ones.
    fn report(&mut self, outcome: io::Result<()>) {
        let was_failing = self.is_failing;
        self.is_failing = outcome.is_err();
        if let (Err(error), false) = (outcome, was_failing) {
            let path = self.path.display();
            tracing::error!(%path, %error, "cannot write the position of the audit trail; a start needs it if the newest file is missing");
        }
    }
}

/// Returns the position of the last acknowledged line of the audit trail, from its position file. None when the file does not exist or has no
/// intact slot.
///
/// # Errors
/// When the file exists and cannot be read. The error contains its path.
pub fn last_recorded(trail: &Path) -> io::Result<Option<Position>> {
    let path = path_beside(trail);
    let found = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => File::open(&path).map(|file| newest(&file)),
        Ok(_) => Err(io::Error::other("it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    };
    let named = |error| io::Error::other(format!("{}: {error}", path.display()));
    Ok(found.map_err(named)?.map(|(position, _)| position))
}

/// Returns the newest position in the file, and its slot.
pub(super) fn newest(file: &File) -> Option<(Position, u64)> {
    let slots = (0..SLOTS).map(|slot| Some((read(file, slot)?, slot)));
    slots.flatten().max_by_key(|(position, _)| position.seq)
}

/// Returns the path of the position file of an audit trail.
pub(in crate::audit) fn path_beside(trail: &Path) -> PathBuf {
    beside(trail, POSITION)
}

fn encode(position: Position) -> Vec<u8> {
    let text = format!("{FORM} {position}");
    let sum = hex::encode(&sha256(text.as_bytes()));
    let width = SLOT - 1;
    format!("{:width$}\n", format!("{text} {sum}")).into_bytes()
}

/// Returns the position in a slot. None when the slot is empty, incomplete or invalid.
fn read(file: &File, slot: u64) -> Option<Position> {
    let mut bytes = [0; SLOT];
    file.read_exact_at(&mut bytes, slot * SLOT as u64).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?.trim_end();
    let (text, sum) = text.rsplit_once(' ')?;
    let position = text.strip_prefix(FORM)?.strip_prefix(' ')?;
    (hex::encode(&sha256(text.as_bytes())) == sum).then(|| position.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::writing::System;

    fn at(seq: u64) -> Position {
        Position {
            seq,
            hash: [seq.to_be_bytes()[7]; 32],
        }
    }

    #[test]
    fn the_newest_intact_slot_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(System);
        let path = path_beside(&directory.path().join("audit.jsonl"));
        let open = || PositionFile::open(&disk, path.clone()).unwrap();
        assert_eq!(open().1, Recorded::Nothing);
        for seq in 1..=5 {
            open().0.write(at(seq));
            assert_eq!(open().1, Recorded::At(at(seq)));
        }
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), 2 * SLOT);
        // The newest slot is damaged or contains zeros: the other slot is used.
        for damage in [b'x', 0] {
            let mut damaged = whole.clone();
            damaged[..100].fill(damage);
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(open().1, Recorded::At(at(4)));
            damaged[SLOT..SLOT + 100].fill(damage);
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(open().1, Recorded::Unreadable);
        }
    }
}
