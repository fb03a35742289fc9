//! A directory on a simulated disk. The disk fails on command, and loses data that was not synced in a power failure.
//!
//! After a power failure, each page of a file has the content of the last `fdatasync`, the newest content, or zeros. The length of the file
//! is between the two. The directory has the changes up to any one of them since its last `fsync`. After a failed `fdatasync`, the
//! operating system marks the pages as written: only bytes that are written again reach the disk later.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::random::Random;
use crate::audit::reading::Identity;
use crate::audit::writing::{Access, Disk, System};

/// The size of a page, in bytes. It is smaller than a real one, so that short files have many pages.
const PAGE: usize = 64;

/// The size of a sector, in bytes. A disk writes a sector as a whole, and the position file depends on that.
const SECTOR: usize = 512;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    // In percent of all calls.
    pub append: u64,
    pub sync: u64,
    pub set_len: u64,
    pub open: u64,
    pub rename: u64,
    pub directory: u64,
    pub position: u64,
}

impl Faults {
    pub fn any(random: &mut Random) -> Self {
        let mut rate = || [0, 0, 20, 60, 100][random.index(5)];
        Self {
            append: rate(),
            sync: rate(),
            set_len: rate(),
            open: rate(),
            rename: rate(),
            directory: rate(),
            position: rate(),
        }
    }
}

enum Change {
    Created(PathBuf),
    Renamed(PathBuf, PathBuf),
}

struct DiskState {
    random: Random,
    faults: Faults,
    /// The number of calls until the process is killed. It is killed in the last of them.
    calls_to_live: Option<u64>,
    /// The content of each file on the disk.
    durable: HashMap<Identity, Vec<u8>>,
    /// The ranges that the operating system marked as written, and that are not on the disk.
    lost: HashMap<Identity, Range<usize>>,
    changes: Vec<Change>,
    during_sync: Option<Box<dyn FnOnce() + Send>>,
}

pub(super) struct FaultyDisk(Mutex<DiskState>);

impl FaultyDisk {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(DiskState {
            random: Random::new(seed),
            faults: Faults::default(),
            calls_to_live: None,
            durable: HashMap::new(),
            lost: HashMap::new(),
            changes: Vec::new(),
            during_sync: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().unwrap()
    }

    pub fn fail(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Kills the process after this number of calls. The last call does a part of its work, and later calls do nothing.
    pub fn kill_after(&self, calls: u64) {
        self.state().calls_to_live = Some(calls);
    }

    /// Starts a new process.
    pub fn revive(&self) {
        let mut state = self.state();
        state.calls_to_live = None;
    }

    /// Runs `action` during the next `fdatasync`.
    pub fn during_sync(&self, action: impl FnOnce() + Send + 'static) {
        self.state().during_sync = Some(Box::new(action));
    }

    /// Returns the action that has not run because no `fdatasync` was called.
    pub fn missed_sync(&self) -> Option<Box<dyn FnOnce() + Send>> {
        self.state().during_sync.take()
    }

    /// Renames a file, as another program does.
    pub fn rename_by_operator(&self, from: &Path, to: &Path) {
        fs::rename(from, to).unwrap();
        let renamed = Change::Renamed(from.to_owned(), to.to_owned());
        self.state().changes.push(renamed);
    }

    /// Marks all changes of the directory as written to the disk, after another program changed it.
    pub fn sync_by_operator(&self) {
        self.state().changes.clear();
    }

    /// Marks the content of a file as written to the disk, after another program wrote it.
    pub fn keep(&self, path: &Path) {
        let id = identity(&path.metadata().unwrap());
        let content = fs::read(path).unwrap();
        self.state().durable.insert(id, content);
    }

    /// Simulates a power failure.
    pub fn power_failure(&self, directory: &Path) {
        let state = &mut *self.state();
        let kept = state.random.index(state.changes.len() + 1);
        for change in state.changes.drain(..).skip(kept).rev() {
            match change {
                Change::Created(path) => drop(fs::remove_file(path)),
                Change::Renamed(from, to) if !from.exists() => drop(fs::rename(to, from)),
                // A later file with this name is on the disk, so this change is on the disk too.
                Change::Renamed(..) => {}
            }
        }
        let files = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
        for path in files.filter(|path| path.is_file()) {
            let identity = identity(&path.metadata().unwrap());
            let durable = state.durable.entry(identity).or_default();
            let now = fs::read(&path).unwrap();
            let page = match path.extension().is_some_and(|e| e == "position") {
                true => SECTOR,
                false => PAGE,
            };
            let left = content_after_failure(durable, &now, page, &mut state.random);
            fs::write(&path, &left).unwrap();
            *durable = left;
        }
        state.lost.clear();
    }
}

fn content_after_failure(durable: &[u8], now: &[u8], page: usize, random: &mut Random) -> Vec<u8> {
    let (short, long) = (durable.len().min(now.len()), durable.len().max(now.len()));
    let length = match random.below(3) {
        0 => durable.len(),
        1 => now.len(),
        _ => short + random.index(long - short + 1),
    };
    // The length is never below the synced length, except after a truncation that was not synced.
    let mut left = vec![0; length];
    for at in (0..length).step_by(page) {
        let source = if random.percent(50) { durable } else { now };
        let end = (at + page).min(length);
        let bytes = &source[at.min(source.len())..end.min(source.len())];
        left[at..at + bytes.len()].copy_from_slice(bytes);
    }
    left
}

fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn broken() -> io::Error {
    io::Error::other("the disk is broken")
}

impl DiskState {
    /// Counts a call. Returns an error when the call fails, and otherwise whether the process is killed in it.
    fn call(&mut self, percent: u64) -> io::Result<bool> {
        let is_last = match &mut self.calls_to_live {
            Some(0) => return Err(broken()),
            Some(calls) => {
                *calls -= 1;
                *calls == 0
            }
            None => false,
        };
        match self.random.percent(percent) {
            true => Err(broken()),
            false => Ok(is_last),
        }
    }
}

/// Returns an error if the process is killed in the call.
fn unless_killed(is_killed: bool) -> io::Result<()> {
    match is_killed {
        true => Err(broken()),
        false => Ok(()),
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let mut state = self.state();
        let percent = state.faults.open;
        let is_killed = state.call(percent)?;
        let is_new = !path.exists();
        let file = System.open(path, access)?;
        if is_new {
            let id = identity(&file.metadata()?);
            // The inode may have belonged to another file.
            state.durable.insert(id, Vec::new());
            state.lost.remove(&id);
            state.changes.push(Change::Created(path.to_owned()));
        }
        unless_killed(is_killed).map(|()| file)
    }

    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let percent = state.faults.append;
        let part = state.random.index(bytes.len() + 1);
        match state.call(percent) {
            Ok(false) => System.append(file, bytes),
            // A full disk writes a part of the bytes. So does a call in which the process is killed.
            outcome => {
                let was_dead = state.calls_to_live == Some(0) && outcome.is_err();
                if !was_dead {
                    System.append(file, &bytes[..part])?;
                }
                Err(broken())
            }
        }
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state();
        let percent = state.faults.position;
        let is_killed = state.call(percent)?;
        System.write_at(file, bytes, offset)?;
        // Bytes that are written again reach the disk with the next fdatasync.
        let lost = state.lost.entry(identity(&file.metadata()?)).or_default();
        let begin = usize::try_from(offset).unwrap();
        if (begin..begin + bytes.len()).contains(&lost.start) {
            lost.start = (begin + bytes.len()).min(lost.end);
        }
        unless_killed(is_killed)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let action = self.state().during_sync.take();
        if let Some(action) = action {
            action();
        }
        let state = &mut *self.state();
        let percent = state.faults.sync;
        let metadata = file.metadata()?;
        let id = identity(&metadata);
        let outcome = state.call(percent);
        let reaches_disk = outcome.is_ok() || state.random.percent(50);
        let mut now = vec![0; usize::try_from(metadata.len()).unwrap()];
        file.read_exact_at(&mut now, 0)?;
        let durable = state.durable.entry(id).or_default();
        if reaches_disk && state.calls_to_live != Some(0) {
            let lost = state.lost.entry(id).or_default();
            let end = lost.end.min(now.len());
            now[lost.start.min(end)..end].fill(0);
            *durable = now;
        } else if state.calls_to_live.is_none() {
            let begin = durable.len().min(now.len());
            state.lost.insert(id, begin..now.len());
        }
        unless_killed(outcome?)
    }

    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        let mut state = self.state();
        let percent = state.faults.set_len;
        let is_killed = state.call(percent)?;
        System.set_len(file, length)?;
        let length = usize::try_from(length).unwrap();
        let lost = state.lost.entry(identity(&file.metadata()?)).or_default();
        *lost = lost.start.min(length)..lost.end.min(length);
        unless_killed(is_killed)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let percent = state.faults.rename;
        let is_killed = state.call(percent)?;
        System.rename(from, to)?;
        let renamed = Change::Renamed(from.to_owned(), to.to_owned());
        state.changes.push(renamed);
        unless_killed(is_killed)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let percent = state.faults.directory;
        let is_killed = state.call(percent)?;
        System.sync_directory(path)?;
        state.changes.clear();
        unless_killed(is_killed)
    }
}
