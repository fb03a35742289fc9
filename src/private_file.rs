//! Creates private files: secrets, and configurations that name them.
//!
//! # Invariants
//! - An existing file is never opened or overwritten, and no symbolic link is followed: each file is created with `O_EXCL`.
//! - Either all files are written completely and are on the disk, or none of them exists.
//! - A file has mode 0600 before its first byte is written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::secret::Secret;

/// Only the owner may read or write it.
const PRIVATE_FILE: u32 = 0o600;

/// Only the owner may enter it.
const PRIVATE_DIRECTORY: u32 = 0o700;

/// A file to create.
pub struct NewFile {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub content: Secret,
}

/// Why no file was created.
#[derive(Debug, Error)]
pub enum CreateError {
    /// A file with this name exists.
    #[error("{} exists already and is not overwritten; nothing was written", .0.display())]
    Exists(PathBuf),
    /// The operating system reports an error.
    #[error("cannot write {}: {}; nothing was written", .0.display(), .1)]
    Failed(PathBuf, #[source] io::Error),
}

impl CreateError {
    fn new(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists(path.to_owned()),
            _ => Self::Failed(path.to_owned(), error),
        }
    }
}

/// Writes new files, all or none.
///
/// # Errors
/// If one exists already or cannot be written; then none is left behind.
pub fn create_private(files: &[NewFile]) -> Result<(), CreateError> {
    let mut unfinished = Unfinished::default();
    for file in files {
        unfinished.create(&file.path)?;
    }
    for ((path, open), file) in unfinished.0.iter_mut().zip(files) {
        write_whole(path, open, &file.content).map_err(|error| CreateError::new(path, error))?;
    }
    unfinished.0.clear();
    Ok(())
}

fn write_whole(path: &Path, file: &mut File, content: &Secret) -> io::Result<()> {
    file.write_all(content.expose().as_bytes())?;
    file.sync_all()?;
    // The directory contains the name, so it must be synchronized too.
    match path.parent().filter(|parent| *parent != Path::new("")) {
        Some(directory) => File::open(directory)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Files that are removed when they are dropped, unless the list was cleared before.
#[derive(Default)]
struct Unfinished(Vec<(PathBuf, File)>);

impl Unfinished {
    fn create(&mut self, path: &Path) -> Result<(), CreateError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(PRIVATE_FILE);
        let file = options.open(path).map_err(|e| CreateError::new(path, e))?;
        self.0.push((path.to_owned(), file));
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for (path, _) in &self.0 {
            // A file that cannot be removed contains at most a part of a secret, and only its owner can read it.
            drop(fs::remove_file(path));
        }
    }
}

/// Creates a directory that only its owner can enter, if it does not exist. Returns whether it was created.
///
/// # Errors
/// If it cannot be created, or if a file has its name.
pub fn create_directory(path: &Path) -> Result<bool, CreateError> {
    match DirBuilder::new().mode(PRIVATE_DIRECTORY).create(path) {
        Ok(()) => Ok(true),
        Err(_) if path.is_dir() => Ok(false),
        Err(error) => Err(CreateError::new(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(path: PathBuf, content: &str) -> NewFile {
        let content = Secret::new(content.into());
        NewFile { path, content }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_are_private_and_complete() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        create_private(&[file(a.clone(), "one\n"), file(b.clone(), "")]).unwrap();
        assert_eq!(fs::read_to_string(&a).unwrap(), "one\n");
        assert_eq!((mode(&a), mode(&b)), (0o600, 0o600));
    }

    #[test]
    fn all_files_are_written_or_none_and_none_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let (new, old) = (directory.path().join("new"), directory.path().join("old"));
        fs::write(&old, "precious").unwrap();
        let outcome = create_private(&[file(new.clone(), "x"), file(old.clone(), "y")]);
        assert!(matches!(outcome, Err(CreateError::Exists(path)) if path == old));
        assert!(!new.exists());
        assert_eq!(fs::read_to_string(&old).unwrap(), "precious");
        let nowhere = directory.path().join("no/where");
        let outcome = create_private(&[file(new.clone(), "x"), file(nowhere, "y")]);
        assert!(matches!(outcome, Err(CreateError::Failed(..))));
        assert!(!new.exists());
        // The second creation of the same file fails.
        let outcome = create_private(&[file(new.clone(), "x"), file(new.clone(), "y")]);
        assert!(matches!(outcome, Err(CreateError::Exists(_))) && !new.exists());
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (link, target) = (
            directory.path().join("link"),
            directory.path().join("target"),
        );
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let outcome = create_private(&[file(link, "x")]);
        assert!(matches!(outcome, Err(CreateError::Exists(_))) && !target.exists());
    }

    #[test]
    fn new_directories_are_private_and_existing_ones_are_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let new = directory.path().join("new");
        assert!(create_directory(&new).unwrap());
        assert_eq!(mode(&new), 0o700);
        assert!(!create_directory(&new).unwrap());
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(
            create_directory(&file),
            Err(CreateError::Exists(_))
        ));
        assert!(create_directory(&new.join("a/b")).is_err());
    }
}
