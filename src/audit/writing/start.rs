//! The search for the end of the chain at a start: in the file with the audit trail's path, in renamed or compressed files, and in the
//! position file.
//!
//! # Invariants
//! - No number is used twice: the chain continues after the last acknowledged line that any of these files shows.
//! - Missing and unreadable files are recorded in the chain. They never prevent a start.
//! - A file that is not an audit trail of this schema is never written to.

mod chain_end;
mod crash;
mod inspect;
mod tail;

pub(in crate::audit) use inspect::inspect;

use chain_end::ChainEnd;
use crash::{make_durable, set_aside};
use tail::Tail;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FlockOperation;
use time::OffsetDateTime;

use super::disk::{Access, Disk, beside};
use super::file::{OpenFile, Schedule, TrailFile, today};
use super::position::{PositionFile, path_beside};
use crate::audit::chain::Position;
use crate::audit::error::AuditError;
use crate::audit::reading::{first_seq, identity_of};
use crate::audit::record::Entry;
use crate::audit::settings::{AuditSettings, LOCK};

/// A audit trail with its end: the position from which the chain continues, and the entries to record about the search.
pub(in crate::audit) struct FoundTrail {
    pub file: TrailFile,
    pub position: Position,
    pub recovered: Vec<Entry>,
}

/// Locks the audit trail and finds its end.
pub(in crate::audit) fn find(
    settings: &AuditSettings,
    disk: Arc<dyn Disk>,
) -> Result<FoundTrail, AuditError> {
    let path = &settings.path;
    // This is first: no file is created beside a path that cannot be used.
    inspect(path)?;
    let lock_path = beside(path, LOCK);
    let had_lock = lock_path.exists();
    let lock = lock(&*disk, &lock_path)?;
    let position_path = path_beside(path);
    let opened = PositionFile::open(&disk, position_path.clone());
    let (mut position_file, recorded) = opened.map_err(AuditError::unusable(&position_path))?;
    let file = disk.open(path, Access::Append);
    let file = file.map_err(AuditError::unusable(path))?;
    let known = recorded.position().map(|position| position.seq);
    let tail = Tail::read(path, &file, known)?;
    let torn = set_aside(&*disk, path, &file, tail)?;
    let durable = make_durable(&*disk, path, tail).and_then(|()| disk.sync_directory(path));
    durable.map_err(AuditError::unusable(path))?;
    let end = ChainEnd::find(&*disk, path, tail.last, recorded, had_lock)?;
    let position = end.position;
    position_file.sync(position);
    let open = open(path, file, tail);
    Ok(FoundTrail {
        file: TrailFile {
            disk,
            path: path.clone(),
            sync: settings.sync,
            rotate: settings.rotate,
            position: position_file,
            last: position,
            open: open.map_err(AuditError::unusable(path))?,
            schedule: Schedule::default(),
            _lock: lock,
        },
        position,
        recovered: torn.into_iter().chain(end.recovered).collect(),
    })
}

fn open(path: &Path, file: File, tail: Tail) -> io::Result<OpenFile> {
    let metadata = file.metadata()?;
    let day = match tail.whole {
        0 => today(),
        _ => OffsetDateTime::from(metadata.modified()?).date(),
    };
    Ok(OpenFile {
        file,
        identity: identity_of(&metadata),
        length: tail.whole,
        first_seq: first_seq(path)?.unwrap_or_default(),
        day,
        must_be_truncated: false,
        is_unsynced: false,
    })
}

fn lock(disk: &dyn Disk, path: &Path) -> Result<File, AuditError> {
    let file = disk.open(path, Access::Append);
    let file = file.map_err(AuditError::unusable(path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AuditError::Locked(path.to_owned())),
        Err(error) => Err(AuditError::Unusable(path.to_owned(), error.into())),
    }
}
