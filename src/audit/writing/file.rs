//! The file that is written now, and the change to the next one.
//!
//! # Invariants
//! - The lock beside the file is held as long as this value lives.
//! - After a failed write nothing is appended before the file is cut back to its last acknowledged line, and no other file is begun
//!   before that cut is on the disk: no number is in two files.
//! - A file that cannot be left is written on: a failed rotation or SIGHUP never stops the trail.
//! - No existing file is replaced, and a symbolic link is not followed.

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

/// The pause after a change of files that failed.
const RETRY: Duration = Duration::from_secs(10);

/// How many names are tried for a file that is left.
const NAMES: u32 = 10;

/// The file that is written now.
pub(in crate::audit) struct TrailFile {
    pub disk: Arc<dyn Disk>,
    pub path: PathBuf,
    pub sync: SyncPolicy,
    pub rotate: RotateSettings,
    pub position: PositionFile,
    /// The last acknowledged line.
    pub last: Position,
    pub open: Open,
    pub schedule: Schedule,
    /// Held until this value is dropped.
    pub _lock: File,
}

/// When the next attempt to change files is due.
pub(in crate::audit) struct Schedule {
    /// SIGHUP asked for the file that has the path's name, and it could not be opened yet.
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

/// An open file of the trail.
pub(in crate::audit) struct Open {
    pub file: File,
    pub identity: Identity,
    /// The length of the acknowledged lines, in bytes.
    pub length: u64,
    pub first_seq: u64,
    pub day: Date,
    /// A failed write may have left bytes behind the acknowledged lines.
    pub must_be_cut: bool,
    /// The last change of the file may not be on the disk.
    pub is_unsynced: bool,
}

impl Open {
    /// A file without lines.
    fn empty(file: File, metadata: &Metadata) -> Self {
        Self {
            file,
            identity: identity_of(metadata),
            length: 0,
            first_seq: 0,
            day: today(),
            must_be_cut: false,
            is_unsynced: false,
        }
    }
}

impl TrailFile {
    /// Appends whole lines, the first of which has the number `first_seq`, and the last the position `end`. When this fails, none of
    /// them is acknowledged, and none is there when the next one is.
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
        open.must_be_cut = written.is_err();
        match written {
            Ok(()) => {
                open.length += lines.len() as u64;
                self.last = end;
                self.position.write(end);
            }
            // Should this fail as well, it is repeated before the next write.
            Err(_) => drop(self.cut()),
        }
        written
    }

    /// Changes to the file that has the path's name now, if that is another one. When this fails, the trail goes on in its file, and the
    /// change is tried again.
    pub(in crate::audit) fn reopen(&mut self) -> io::Result<()> {
        let changed = match self.has_the_name() {
            Ok(true) => Ok(()),
            Ok(false) => self.begin_file(),
            Err(error) => Err(error),
        };
        self.schedule.wants_reopen = changed.is_err();
        self.plan_retry(&changed);
        changed
    }

    /// Makes sure that lines may be appended.
    fn prepare(&mut self) -> io::Result<()> {
        let metadata = self.open.file.metadata()?;
        if metadata.nlink() == 0 {
            let path = self.path.display();
            tracing::error!(%path, "the audit file was deleted; a new one is begun");
            self.position.sync(self.last);
            return self.open_by_name();
        }
        if self.open.must_be_cut {
            return self.cut();
        }
        match metadata.len() == self.open.length {
            true => Ok(()),
            false => self.prepare_changed(metadata.len()),
        }
    }

    /// Another program has changed the file (copytruncate does): a line may only follow a whole line.
    fn prepare_changed(&mut self, length: u64) -> io::Result<()> {
        let path = self.path.display();
        tracing::error!(%path, length, expected = self.open.length, "another program changed the audit file");
        let mut end = [b'\n'];
        if length > 0 {
            self.open.file.read_exact_at(&mut end, length - 1)?;
        }
        match end == [b'\n'] {
            true => self.open.length = length,
            false => self.leave()?,
        }
        Ok(())
    }

    /// Takes back what a failed write left. Never makes the file longer.
    fn cut(&mut self) -> io::Result<()> {
        let open = &mut self.open;
        let length = open.length.min(open.file.metadata()?.len());
        self.disk.set_len(&open.file, length)?;
        (open.length, open.must_be_cut) = (length, false);
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
            false => self.leave(),
        };
        self.plan_retry(&changed);
        if let Err(error) = changed {
            let path = self.path.display();
            tracing::warn!(%path, %error, "cannot begin a new audit file; the old one stays in use");
        }
    }

    fn plan_retry(&mut self, changed: &io::Result<()>) {
        let retry = Instant::now() + self.schedule.retry;
        self.schedule.not_before = changed.is_err().then_some(retry);
    }

    fn is_full_or_old(&self) -> bool {
        let open = &self.open;
        let is_full = self.rotate.size.is_some_and(|size| open.length >= size);
        // A clock that goes back begins no file.
        let is_old = self.rotate.daily && today() > open.day;
        open.length > 0 && (is_full || is_old)
    }

    /// Gives the file the name under which it stays, and begins the next one.
    fn leave(&mut self) -> io::Result<()> {
        // Somebody else may have renamed it already.
        if self.has_the_name()? {
            self.settle()?;
            self.rename()?;
        }
        self.begin_file()
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

    fn begin_file(&mut self) -> io::Result<()> {
        self.settle()?;
        self.position.sync(self.last);
        self.open_by_name()
    }

    /// Nothing in this file may change any more.
    fn settle(&mut self) -> io::Result<()> {
        if self.open.must_be_cut {
            self.cut()?;
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
            let what = "another file has the trail's name and is not empty";
            return Err(io::Error::other(what));
        }
        self.disk.sync_directory(&self.path)?;
        self.open = Open::empty(file, &metadata);
        Ok(())
    }

    /// Whether the file that is written has the trail's name.
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
