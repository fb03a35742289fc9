//! Checks whether a path can be used for the audit trail. The start and `check-config` call the same function.
//!
//! # Invariants
//! - Nothing is written, created or locked.
//! - Only regular files are opened: opening a device can have side effects.

use std::fs::{File, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD};

use super::tail::Tail;
use crate::audit::error::AuditError;
use crate::audit::reading::directory_of;
use crate::audit::settings::LOCK;
use crate::audit::writing::disk::{Access, Disk as _, System, beside};
use crate::audit::writing::position;

/// Checks that a start can continue or create the audit trail at `path`.
///
/// # Errors
/// When the directory or a file cannot be used, the file is not an audit trail, or its last line is damaged.
pub(in crate::audit) fn inspect(path: &Path) -> Result<(), AuditError> {
    let directory = directory_of(path);
    require_directory(directory).map_err(AuditError::unusable(directory))?;
    let (of_lock, of_position) = (beside(path, LOCK), position::path_beside(path));
    let [file, lock, position] = [path, &of_lock, &of_position].map(existing);
    let file = file.map_err(AuditError::unusable(path))?;
    let lock = lock.map_err(AuditError::unusable(&of_lock))?;
    let position = position.map_err(AuditError::unusable(&of_position))?;
    if [&file, &lock, &position].iter().any(|file| file.is_none()) {
        require_writable(directory).map_err(AuditError::unusable(directory))?;
    }
    let known = position.and_then(|file| position::newest(&file));
    let known = known.map(|(position, _)| position.seq);
    match file {
        Some(file) => Tail::read(path, &file, known).map(drop),
        None => Ok(()),
    }
}

fn require_directory(path: &Path) -> io::Result<()> {
    match path.metadata()?.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

fn require_writable(directory: &Path) -> io::Result<()> {
    use rustix::fs::Access as Permission;
    let wanted = Permission::WRITE_OK | Permission::EXEC_OK;
    Ok(rustix::fs::accessat(
        CWD,
        directory,
        wanted,
        AtFlags::empty(),
    )?)
}

/// Opens a file as the start does, if it exists.
fn existing(path: &Path) -> io::Result<Option<File>> {
    let kind = match path.symlink_metadata() {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match name(kind) {
        None => System.open(path, Access::Existing).map(Some),
        Some(name) => Err(io::Error::other(format!(
            "it is {name}; the audit trail must be a regular file"
        ))),
    }
}

/// Returns the name of the file's type. None for a regular file.
fn name(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_symlink() => Some("a symbolic link"),
        kind if kind.is_fifo() => Some("a FIFO"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}
