//! The record of logins as a file in the state directory.
//!
//! # Invariants
//! - A crash leaves the file as it was before or after a change, never in between.
//! - A file that cannot be read as a record is set aside, not overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::store::Store;

/// The name of the file.
const NAME: &str = "logins.json";

/// The version of its form.
const VERSION: u32 = 1;

/// A record of more bytes is not one of ours.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How long a command may keep the record locked, many times over.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Interval between attempts to lock it.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// The file of the record; none while the record is only in memory.
pub(in crate::launcher) struct LoginFile(Option<Directory>);

pub(super) struct Directory {
    path: PathBuf,
    handle: File,
}

/// What is read and written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    entries: Vec<Entry>,
}

impl LoginFile {
    /// Opens the record in this directory. Returns its entries, and warnings for the log. Without a directory that can be used, the
    /// record is in memory.
    pub(in crate::launcher) fn open(directory: Option<&Path>) -> (Self, Vec<Entry>, Vec<String>) {
        let Some(path) = directory else {
            let warning = "no state directory (StateDirectory= of systemd, or serve --state-directory): after a restart, a PIN that a \
                           token has rejected is tried again";
            return (Self(None), Vec::new(), vec![warning.to_owned()]);
        };
        match Directory::open(path).and_then(|directory| Ok((directory.read()?, directory))) {
            Ok(((entries, warning), directory)) => (
                Self(Some(directory)),
                entries,
                warning.into_iter().collect(),
            ),
            Err(error) => {
                let path = path.display();
                let warning = format!(
                    "the record of logins in {path} cannot be used: {error}; after a restart, a PIN that a token has rejected is tried again"
                );
                (Self(None), Vec::new(), vec![warning])
            }
        }
    }
}

impl Store for LoginFile {
    fn save(&mut self, entries: &[Entry]) -> io::Result<()> {
        match &self.0 {
            Some(directory) => directory.write(entries),
            None => Ok(()),
        }
    }
}

impl Directory {
    /// Opens and locks the directory: two services would overwrite each other's record.
    fn open(path: &Path) -> io::Result<Self> {
        Self::lock(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::other("a different service uses this directory")
            }
            _ => error,
        })
    }

    /// The same.
    ///
    /// # Errors
    /// `WouldBlock` while a service has locked it.
    pub(super) fn lock(path: &Path) -> io::Result<Self> {
        let handle = File::open(path)?;
        let give_up = Instant::now() + LOCK_PATIENCE;
        loop {
            match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if Instant::now() < give_up => sleep(LOCK_POLL),
                Err(error) => return Err(error.into()),
            }
        }
        let directory = Self {
            path: path.to_owned(),
            handle,
        };
        directory.check_writable()?;
        Ok(directory)
    }

    fn check_writable(&self) -> io::Result<()> {
        let probe = self.path.join("logins.probe");
        self.create(&probe)?.sync_all()?;
        fs::remove_file(probe)
    }

    /// The entries; with a warning when there was a file that is no record.
    fn read(&self) -> io::Result<(Vec<Entry>, Option<String>)> {
        let path = self.path.join(NAME);
        match parse(&path)? {
            Some(entries) => Ok((entries, None)),
            None => {
                let aside = self.path.join(format!("{NAME}.unreadable"));
                fs::rename(&path, &aside)?;
                let warning = format!(
                    "the record of logins was not readable and is set aside as {}; PINs that tokens have rejected are tried again",
                    aside.display()
                );
                Ok((Vec::new(), Some(warning)))
            }
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When a crash might lose it.
    pub(super) fn write(&self, entries: &[Entry]) -> io::Result<()> {
        let contents = Contents {
            version: VERSION,
            entries: entries.to_owned(),
        };
        let bytes = serde_json::to_vec(&contents)?;
        let next = self.path.join("logins.next");
        let mut file = self.create(&next)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(next, self.path.join(NAME))?;
        // The rename itself must survive.
        self.handle.sync_all()
    }

    /// A new file. A command that root runs gives it to the user of the service.
    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path)?;
        if geteuid().is_root() {
            let owner = self.handle.metadata()?;
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(file)
    }
}

/// The entries, for a command that must not lock the record.
///
/// # Errors
/// When the file cannot be read, or is not a record.
pub(super) fn read_only(directory: &Path) -> io::Result<Vec<Entry>> {
    let entries = parse(&directory.join(NAME))?;
    entries.ok_or_else(|| io::Error::other("its file is not a record"))
}

/// The entries of a file; `None` when it is not a record.
fn parse(path: &Path) -> io::Result<Option<Vec<Entry>>> {
    let bytes = match fs::metadata(path) {
        Ok(metadata) if metadata.len() <= MAX_BYTES => fs::read(path)?,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(Contents {
            version: VERSION,
            entries,
        }) => Ok(Some(entries)),
        _ => Ok(None),
    }
}
