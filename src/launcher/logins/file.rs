//! The record of logins as a file in the state directory.
//!
//! # Invariants
//! - A crash leaves the file as it was before or after a change, never in between.
//! - A file that cannot be read as a record is set aside, not overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::store::Store;

/// The name of the file.
const NAME: &str = "logins.json";

/// The version of its form.
const VERSION: u32 = 1;

/// A record of more bytes is not one of ours.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The file of the record; none while the record is only in memory.
pub(in crate::launcher) struct LoginFile(Option<Directory>);

struct Directory {
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
        let handle = File::open(path)?;
        flock(&handle, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => {
                io::Error::other("a different service uses this directory")
            }
            error => error.into(),
        })?;
        let directory = Self {
            path: path.to_owned(),
            handle,
        };
        directory.check_writable()?;
        Ok(directory)
    }

    fn check_writable(&self) -> io::Result<()> {
        let probe = self.path.join("logins.probe");
        create(&probe)?.sync_all()?;
        fs::remove_file(probe)
    }

    /// The entries; with a warning when there was a file that is no record.
    fn read(&self) -> io::Result<(Vec<Entry>, Option<String>)> {
        let path = self.path.join(NAME);
        let bytes = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() <= MAX_BYTES => fs::read(&path)?,
            Ok(_) => Vec::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice(&bytes) {
            Ok(Contents {
                version: VERSION,
                entries,
            }) => Ok((entries, None)),
            _ => {
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

    fn write(&self, entries: &[Entry]) -> io::Result<()> {
        let contents = Contents {
            version: VERSION,
            entries: entries.to_owned(),
        };
        let bytes = serde_json::to_vec(&contents)?;
        let next = self.path.join("logins.next");
        let mut file = create(&next)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(next, self.path.join(NAME))?;
        // The rename itself must survive.
        self.handle.sync_all()
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}
