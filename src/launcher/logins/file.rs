//! The record of logins as a file in the state directory.
//!
//! # Invariants
//! - After a crash, the file has its content from before or after a change, never a mixture.
//! - A file that is not a valid record is renamed, not overwritten.

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

/// The version of the format.
const VERSION: u32 = 1;

/// The longest record that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How long to wait for the lock; many times what a command needs.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Interval between attempts to lock the record.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// The file of the record; none if the record is only in memory.
pub(in crate::launcher) struct LoginFile(Option<Directory>);

pub(super) struct Directory {
    path: PathBuf,
    handle: File,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    entries: Vec<Entry>,
}

impl LoginFile {
    /// Opens the record in this directory. Returns its entries, and warnings for the log. If the directory cannot be used, the record is only
    /// in memory.
    pub(in crate::launcher) fn open(directory: Option<&Path>) -> (Self, Vec<Entry>, Vec<String>) {
        let Some(path) = directory else {
            let warning = "no state directory (StateDirectory= of systemd, or serve --state-directory): after a restart, \
                           rejected PINs are tried again";
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
                    "the record of logins in {path} cannot be used: {error}; after a restart, rejected PINs are tried again"
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
    /// Opens and locks the directory, because two services would overwrite each other's record.
    fn open(path: &Path) -> io::Result<Self> {
        Self::lock(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::other("another service uses this directory"),
            _ => error,
        })
    }

    /// Opens and locks the directory.
    ///
    /// # Errors
    /// `WouldBlock` while a service has the lock; otherwise those of the file system.
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

    /// Returns the entries, with a warning if the file was not a valid record.
    fn read(&self) -> io::Result<(Vec<Entry>, Option<String>)> {
        let path = self.path.join(NAME);
        match parse(&path)? {
            Some(entries) => Ok((entries, None)),
            None => {
                let aside = self.path.join(format!("{NAME}.unreadable"));
                fs::rename(&path, &aside)?;
                let warning = format!(
                    "the record of logins was not valid and was renamed to {}; rejected PINs are tried again",
                    aside.display()
                );
                Ok((Vec::new(), Some(warning)))
            }
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the record is not safely on disk.
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
        // The rename must survive a crash, too.
        self.handle.sync_all()
    }

    /// Creates a file. If root runs the command, the file gets the owner of the directory: the user of the service.
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

/// Returns the entries without locking the record.
///
/// # Errors
/// When the file cannot be read, or is not a record.
pub(super) fn read_only(directory: &Path) -> io::Result<Vec<Entry>> {
    let entries = parse(&directory.join(NAME))?;
    entries.ok_or_else(|| io::Error::other("the file is not a valid record"))
}

/// Returns the entries of a file; none if it is not a valid record.
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
