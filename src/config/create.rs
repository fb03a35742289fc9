//! New private files: secrets, and configurations that name them.
//!
//! # Invariants
//! - What exists is never opened, followed or overwritten: each file is created with `O_EXCL`.
//! - All of the files are written whole and are on the disk, or none of them is there.
//! - A file has mode 0600 before its first byte is in it.

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
    /// Where.
    pub path: PathBuf,
    /// With what in it.
    pub content: Secret,
}

/// Why no file was written.
#[derive(Debug, Error)]
pub enum CreateError {
    /// A file is in the way.
    #[error("{} exists already and is not overwritten; nothing was written", .0.display())]
    Exists(PathBuf),
    /// The operating system refuses.
    #[error("cannot write {}: {}; nothing was written", .0.display(), .1)]
    Failed(PathBuf, #[source] io::Error),
}

impl CreateError {
    fn of(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists(path.to_owned()),
            _ => Self::Failed(path.to_owned(), error),
        }
    }
}

/// Writes new files, all or none.
///
/// # Errors
/// When one exists already or cannot be written; then none is left behind.
pub fn create_private(files: &[NewFile]) -> Result<(), CreateError> {
    let mut unfinished = Unfinished::default();
    for file in files {
        unfinished.create(&file.path)?;
    }
    for ((path, open), file) in unfinished.0.iter_mut().zip(files) {
        write_whole(path, open, &file.content).map_err(|error| CreateError::of(path, error))?;
    }
    unfinished.0.clear();
    Ok(())
}

fn write_whole(path: &Path, file: &mut File, content: &Secret) -> io::Result<()> {
    file.write_all(content.expose().as_bytes())?;
    file.sync_all()?;
    // The name is in the directory, and that is another file.
    match path.parent().filter(|parent| *parent != Path::new("")) {
        Some(directory) => File::open(directory)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Files that go away again unless all of them are finished.
#[derive(Default)]
struct Unfinished(Vec<(PathBuf, File)>);

impl Unfinished {
    fn create(&mut self, path: &Path) -> Result<(), CreateError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(PRIVATE_FILE);
        let file = options.open(path).map_err(|e| CreateError::of(path, e))?;
        self.0.push((path.to_owned(), file));
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for (path, _) in &self.0 {
            // What cannot be removed has been created and not written: it holds no more than a part of a secret, for its owner.
            drop(fs::remove_file(path));
        }
    }
}

/// Creates a directory for its owner alone, unless there is one. Says whether it did.
///
/// # Errors
/// When it cannot be created, or something else has its name.
pub fn create_directory(path: &Path) -> Result<bool, CreateError> {
    match DirBuilder::new().mode(PRIVATE_DIRECTORY).create(path) {
        Ok(()) => Ok(true),
        Err(_) if path.is_dir() => Ok(false),
        Err(error) => Err(CreateError::of(path, error)),
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
    fn files_are_private_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        create_private(&[file(a.clone(), "one\n"), file(b.clone(), "")]).unwrap();
        assert_eq!(fs::read_to_string(&a).unwrap(), "one\n");
        assert_eq!((mode(&a), mode(&b)), (0o600, 0o600));
    }

    #[test]
    fn all_or_none_and_nothing_is_overwritten() {
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
        // The same file twice is in its own way.
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
    fn directories_are_private_or_as_they_were() {
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
