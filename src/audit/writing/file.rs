//! The current file of the audit trail, and the change to the next one.
//!
//! # Invariants
//! - The lock beside the file is held until this value is dropped.
//! - After a failed write, the file is truncated to its last acknowledged line before anything is appended. The truncation is on the disk
//!   before another file is started, so no number is in two files.
//! - If rotation or a SIGHUP fails, the current file stays in use. The audit trail never stops for that reason.
//! - No existing file is replaced, and symbolic links are not followed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::{Date, OffsetDateTime};

use super::disk::{Access, Disk, beside};
use super::position::PositionFile;
use crate::audit::chain::Position;
use crate::audit::reading::{Identity, identity_of};
use crate::audit::settings::{RotateSettings, SyncPolicy};

/// The pause after a failed change of files.
const RETRY: Duration = Duration::from_secs(10);

/// The maximum number of names that are tried for a rotated file.
const NAMES: u32 = 10;

/// The current file.
pub(in crate::audit) struct TrailFile {
    pub disk: Arc<dyn Disk>,
    pub path: PathBuf,
    pub sync: SyncPolicy,
    pub rotate: RotateSettings,
    pub position: PositionFile,
    /// The last acknowledged line.
    pub last: Position,
    pub open: OpenFile,
    pub schedule: Schedule,
    /// Held until this value is dropped.
    pub _lock: File,
}

/// The schedule of changes to another file.
pub(in crate::audit) struct Schedule {
    /// True if a reopen was requested by SIGHUP and has not succeeded yet.
    wants_reopen: bool,
    not_before: Option<Instant>,
    pub retry: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            wants_reopen: false,
            not_before: None,
            retry: RETRY,
        }
    }
}

/// An open file of the audit trail.
pub(in crate::audit) struct OpenFile {
    pub file: File,
    pub identity: Identity,
    /// The length of the acknowledged lines, in bytes.
    pub length: u64,
    pub first_seq: u64,
    pub day: Date,
    /// True if a failed write may have left bytes after the acknowledged lines.
    pub must_be_truncated: bool,
    /// True if the last change of the file may not be on the disk.
    pub is_unsynced: bool,
}

impl OpenFile {
    /// Returns the state of a file without lines.
    fn empty(file: File, metadata: &Metadata) -> Self {
        Self {
            file,
            identity: identity_of(metadata),
            length: 0,
            first_seq: 0,
            day: today(),
            must_be_truncated: false,
            is_unsynced: false,
        }
    }
}

impl TrailFile {
    /// Appends complete lines. The first has the number `first_seq`, the last has the position `end`. If this fails, none of the lines is
    /// acknowledged, and all of them are removed before the next line is appended.
    pub(in crate::audit) fn append(
        &mut self,
        lines: &[u8],
        first_seq: u64,
        end: Position,
    ) -> io::Result<()> {
        self.change_file_if_due();
        self.prepare()?;
        let open = &mut self.open;
        if open.length == 0 {
            open.first_seq = first_seq;
        }
        let written = self.disk.append(&open.file, lines);
        let written = written.and_then(|()| match self.sync {
            SyncPolicy::Batch => self.disk.sync(&open.file),
            SyncPolicy::None => Ok(()),
        });
        open.is_unsynced = written.is_err() || self.sync == SyncPolicy::None;
        open.must_be_truncated = written.is_err();
        match written {
            Ok(()) => {
                open.length += lines.len() as u64;
                self.last = end;
                self.position.write(end);
            }
            // If this fails too, it is repeated before the next write.
            Err(_) => drop(self.truncate()),
        }
        written
    }

    /// Changes to the file that now has the audit trail's path, if it is a different one. If this fails, the current file stays in use, and the
    /// change is repeated later.
    pub(in crate::audit) fn reopen(&mut self) -> io::Result<()> {
        let changed = match self.has_the_name() {
            Ok(true) => Ok(()),
            Ok(false) => self.start_file(),
            Err(error) => Err(error),
        };
        self.schedule.wants_reopen = changed.is_err();
        self.plan_retry(&changed);
        changed
    }

    /// Ensures that lines can be appended.
    fn prepare(&mut self) -> io::Result<()> {
        let metadata = self.open.file.metadata()?;
        if metadata.nlink() == 0 {
            let path = self.path.display();
            tracing::error!(%path, "audit file deleted; creating a new one");
            self.position.sync(self.last);
            return self.open_by_name();
        }
        if self.open.must_be_truncated {
            return self.truncate();
        }
        match metadata.len() == self.open.length {
            true => Ok(()),
            false => self.prepare_changed(metadata.len()),
        }
    }

    /// Handles a file that another program has changed, as logrotate's copytruncate does. A line may only follow a complete line.
    fn prepare_changed(&mut self, length: u64) -> io::Result<()> {
        let path = self.path.display();
        tracing::error!(%path, length, expected = self.open.length, "another program changed the audit file");
        let mut end = [b'\n'];
        if length > 0 {
            self.open.file.read_exact_at(&mut end, length - 1)?;
        }
        match end == [b'\n'] {
            true => self.open.length = length,
            false => self.rotate()?,
        }
        Ok(())
    }

    /// Truncates the file to its acknowledged lines. Never makes the file longer.
    fn truncate(&mut self) -> io::Result<()> {
        let open = &mut self.open;
        let length = open.length.min(open.file.metadata()?.len());
        self.disk.set_len(&open.file, length)?;
        (open.length, open.must_be_truncated) = (length, false);
        Ok(())
    }

    fn change_file_if_due(&mut self) {
        let is_early = |not_before| Instant::now() < not_before;
        let is_due = self.schedule.wants_reopen || self.is_full_or_old();
        if !is_due || self.schedule.not_before.is_some_and(is_early) {
            return;
        }
        let changed = match self.schedule.wants_reopen {
            true => self.reopen(),
            false => self.rotate(),
        };
        self.plan_retry(&changed);
        if let Err(error) = changed {
            let path = self.path.display();
            tracing::warn!(%path, %error, "cannot create a new audit file; the current one stays in use");
        }
    }

    fn plan_retry(&mut self, changed: &io::Result<()>) {
        let retry = Instant::now() + self.schedule.retry;
        self.schedule.not_before = changed.is_err().then_some(retry);
    }

    fn is_full_or_old(&self) -> bool {
        let open = &self.open;
        let is_full = self.rotate.size.is_some_and(|size| open.length >= size);
        // If the clock goes back, no new file is started.
        let is_old = self.rotate.daily && today() > open.day;
        open.length > 0 && (is_full || is_old)
    }

    /// Renames the current file to its final name, and starts the next one.
    fn rotate(&mut self) -> io::Result<()> {
        // Another program may already have renamed it.
        if self.has_the_name()? {
            self.complete()?;
            self.rename()?;
        }
        self.start_file()
    }

    fn rename(&self) -> io::Result<()> {
        let name = beside(&self.path, &format!(".{:020}", self.open.first_seq));
        let more = (1..NAMES).map(|number| beside(&name, &format!("-{number}")));
        let mut outcome = Ok(());
        for name in [name.clone()].into_iter().chain(more) {
            outcome = self.disk.rename(&self.path, &name);
            let is_taken = |e: &io::Error| e.kind() == io::ErrorKind::AlreadyExists;
            if !outcome.as_ref().is_err_and(is_taken) {
                break;
            }
        }
        outcome
    }

    fn start_file(&mut self) -> io::Result<()> {
        self.complete()?;
        self.position.sync(self.last);
        self.open_by_name()
    }

    /// Completes this file: afterwards it does not change.
    fn complete(&mut self) -> io::Result<()> {
        if self.open.must_be_truncated {
            self.truncate()?;
        }
        if self.open.is_unsynced {
            self.disk.sync(&self.open.file)?;
            self.open.is_unsynced = false;
        }
        Ok(())
    }

    fn open_by_name(&mut self) -> io::Result<()> {
        let file = self.disk.open(&self.path, Access::Append)?;
        let metadata = file.metadata()?;
        if metadata.len() > 0 {
            let problem = "another file has the name of the audit trail and is not empty";
            return Err(io::Error::other(problem));
        }
        self.disk.sync_directory(&self.path)?;
        self.open = OpenFile::empty(file, &metadata);
        Ok(())
    }

    /// Returns whether the current file still has the audit trail's path.
    fn has_the_name(&self) -> io::Result<bool> {
        match self.path.symlink_metadata() {
            Ok(metadata) => Ok(identity_of(&metadata) == self.open.identity),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn today() -> Date {
    OffsetDateTime::now_utc().date()
}
