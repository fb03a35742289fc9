//! The file that is written now.
//!
//! # Invariants
//! - The lock beside the file is held as long as this value lives.
//! - After a failed write nothing is appended before the file has been cut back to its last whole line.
//! - Nothing is renamed over an existing file, and a symbolic link is not followed.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags};
use time::{Date, OffsetDateTime};

use super::chain::{Position, hex, sha256};
use super::error::AuditError;
use super::record::{Entry, Kind};
use super::settings::{AuditSettings, RotateSettings, SyncPolicy};
use super::tail::{Tail, first_seq, trail_files};

/// The owner writes, the group may read: auditors are not the proxy.
const MODE: u32 = 0o640;

/// How soon a rotation that has failed is tried again.
const ROTATE_RETRY: Duration = Duration::from_secs(60);

/// The file that is written now.
pub(super) struct TrailFile {
    path: PathBuf,
    sync: SyncPolicy,
    rotate: RotateSettings,
    open: Option<Open>,
    /// What is known of the file that has to be opened again: its identity and the length of its whole lines.
    broken: Option<(Identity, u64)>,
    /// Not before then: a rotation has just failed, and the lines matter more than where they lie.
    rotate_after: Option<Instant>,
    _lock: File,
}

type Identity = (u64, u64);

struct Open {
    file: File,
    identity: Identity,
    length: u64,
    first_seq: u64,
    day: Date,
}

/// A trail found, with where it goes on and what there is to say about how it was found.
pub(super) struct Found {
    pub file: TrailFile,
    pub position: Position,
    pub recovered: Option<Entry>,
}

impl TrailFile {
    /// Locks the trail and finds its end.
    pub(super) fn find(settings: &AuditSettings) -> Result<Found, AuditError> {
        let path = &settings.path;
        let lock = lock(&beside(path, ".lock"))?;
        let file = open(path).map_err(AuditError::unusable(path))?;
        let tail = Tail::read(path, &file)?;
        let position = match tail.last {
            Some(position) => position,
            None => last_of_others(path)?,
        };
        let recovered = set_aside(path, &file, &tail, position.seq + 1)?;
        let mut found = Self {
            path: path.clone(),
            sync: settings.sync,
            rotate: settings.rotate,
            open: None,
            broken: None,
            rotate_after: None,
            _lock: lock,
        };
        let opened = found.adopt(file).map_err(AuditError::unusable(path))?;
        found.open = Some(opened);
        Ok(Found {
            file: found,
            position,
            recovered,
        })
    }

    /// Appends whole lines, the first of which has this number. When this fails, none of them is there.
    pub(super) fn append(&mut self, lines: &[u8], first_seq: u64) -> io::Result<()> {
        self.rotate_if_due();
        let mut open = self.reopened()?;
        if open.length == 0 {
            open.first_seq = first_seq;
        }
        let written = open.file.write_all(lines).and_then(|()| match self.sync {
            SyncPolicy::Batch => open.file.sync_data(),
            SyncPolicy::None => Ok(()),
        });
        match written {
            Ok(()) => {
                open.length += lines.len() as u64;
                self.open = Some(open);
            }
            Err(_) => {
                // Should this fail as well, it is done again before the next write.
                drop(open.file.set_len(open.length));
                self.broken = Some((open.identity, open.length));
            }
        }
        written
    }

    /// Goes on in the file that now has the path's name, if that is another one.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        open.file.sync_data()?;
        self.broken = Some((open.identity, open.length));
        let reopened = self.reopened()?;
        self.open = Some(reopened);
        Ok(())
    }

    fn reopened(&mut self) -> io::Result<Open> {
        let is_there = |open: &Open| open.file.metadata().is_ok_and(|m| m.nlink() > 0);
        if let Some(open) = self.open.take().filter(is_there) {
            return Ok(open);
        }
        let file = open(&self.path)?;
        let metadata = file.metadata()?;
        match self.broken {
            Some((identity, length)) if identity == identity_of(&metadata) => {
                file.set_len(length.min(metadata.len()))?;
            }
            _ if metadata.len() > 0 => {
                return Err(io::Error::other("another file has taken the trail's name"));
            }
            _ => {}
        }
        let opened = self.adopt(file)?;
        self.broken = None;
        Ok(opened)
    }

    fn adopt(&self, file: File) -> io::Result<Open> {
        let metadata = file.metadata()?;
        let (length, first_seq) = (metadata.len(), first_seq(&self.path)?.unwrap_or_default());
        let day = match length {
            0 => today(),
            _ => OffsetDateTime::from(metadata.modified()?).date(),
        };
        sync_directory(&self.path)?;
        let identity = identity_of(&metadata);
        Ok(Open {
            file,
            identity,
            length,
            first_seq,
            day,
        })
    }

    fn rotate_if_due(&mut self) {
        let is_too_soon = self
            .rotate_after
            .is_some_and(|after| Instant::now() < after);
        let Some(open) = self.open.as_ref().filter(|open| open.length > 0) else {
            return;
        };
        let is_full = self.rotate.size.is_some_and(|size| open.length >= size);
        // A clock that goes back begins no file.
        let is_old = self.rotate.daily && today() > open.day;
        if is_too_soon || !is_full && !is_old {
            return;
        }
        match rename(&self.path, open) {
            Ok(()) => (self.open, self.broken, self.rotate_after) = (None, None, None),
            Err(error) => {
                self.rotate_after = Some(Instant::now() + ROTATE_RETRY);
                tracing::warn!(%error, "the audit trail cannot be rotated and goes on in its file");
            }
        }
    }
}

/// Gives the file the name under which it stays.
fn rename(path: &Path, open: &Open) -> io::Result<()> {
    open.file.sync_data()?;
    let aside = beside(path, &format!(".{:020}", open.first_seq));
    rustix::fs::renameat_with(CWD, path, CWD, &aside, RenameFlags::NOREPLACE)?;
    Ok(())
}

fn lock(path: &Path) -> Result<File, AuditError> {
    let file = open(path).map_err(AuditError::unusable(path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AuditError::Locked(path.to_owned())),
        Err(error) => Err(AuditError::Unusable(path.to_owned(), error.into())),
    }
}

fn open(path: &Path) -> io::Result<File> {
    // A FIFO without a reader would keep the opening waiting: nonblocking, which means nothing to a regular file.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(MODE);
    let file = options
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

/// Where the trail goes on when its file is new: behind the newest of the others.
fn last_of_others(path: &Path) -> Result<Position, AuditError> {
    let others = trail_files(path).map_err(AuditError::unusable(path))?;
    let Some(newest) = others.iter().rfind(|other| *other != path) else {
        return Ok(Position::GENESIS);
    };
    let file = File::open(newest).map_err(AuditError::unusable(newest))?;
    let last = Tail::read(newest, &file)?.last;
    Ok(last.unwrap_or(Position::GENESIS))
}

/// Moves what a crash has left behind the last whole line into a file of its own.
fn set_aside(path: &Path, file: &File, tail: &Tail, seq: u64) -> Result<Option<Entry>, AuditError> {
    if tail.torn.is_empty() {
        return Ok(None);
    }
    let (aside, mut copy) = new_aside(path, seq)?;
    let moved = copy
        .write_all(&tail.torn)
        .and_then(|()| copy.sync_all())
        .and_then(|()| sync_directory(&aside))
        .and_then(|()| file.set_len(tail.whole));
    moved.map_err(AuditError::unusable(&aside))?;
    let name = aside.file_name().unwrap_or_default().to_string_lossy();
    let members = serde_json::json!({
        "cause": "torn_line",
        "bytes": tail.torn.len(),
        "sha256": hex(&sha256(&tail.torn)),
        "file": name,
    });
    Ok(Some(Entry::new(Kind::Recovered, &members)))
}

/// A new file; a crash in the middle of an earlier recovery may have left one of the first name.
fn new_aside(path: &Path, seq: u64) -> Result<(PathBuf, File), AuditError> {
    let mut attempt = 0;
    loop {
        let aside = beside(path, &format!(".torn-{seq}-{attempt}"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(MODE);
        match options.open(&aside) {
            Ok(file) => return Ok((aside, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 99 => attempt += 1,
            Err(error) => return Err(AuditError::Unusable(aside, error)),
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A file's name is in its directory, and that is another file.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| *parent != Path::new("")) {
        Some(directory) => File::open(directory)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn identity_of(metadata: &std::fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn today() -> Date {
    OffsetDateTime::now_utc().date()
}
