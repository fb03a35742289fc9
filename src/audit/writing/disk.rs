//! The system calls with which the audit trail changes files. Tests replace them with a disk that fails.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags};

use crate::audit::reading::directory_of;

/// The owner can write and the group can read: auditors run as other users of the group.
const MODE: u32 = 0o640;

/// The way a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit) enum Access {
    /// Writes go to the end.
    Append,
    /// Writes go to the end of a file that must already exist.
    Existing,
    /// Writes go to a given offset.
    Replace,
    /// Writes go to a file that must not exist yet.
    New,
}

/// A disk. The default methods call the operating system.
pub(in crate::audit) trait Disk: Send + Sync {
    /// Opens a regular file for reading and writing, and creates it if it is missing. Does not follow a symbolic link.
    fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        open(path, access)
    }

    /// Writes all bytes to the end of the file.
    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Writes all bytes at this offset.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    /// Calls `fdatasync`.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Cuts the file to this length.
    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    /// Renames a file. Fails when the new name exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(
            CWD,
            from,
            CWD,
            to,
            RenameFlags::NOREPLACE,
        )?)
    }

    /// Calls `fsync` on the directory of this file, which contains the file's name.
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(directory_of(path))?.sync_all()
    }
}

/// The operating system's disk.
pub(in crate::audit) struct System;

impl Disk for System {}

/// Returns the path of a file beside the audit trail: the audit trail's path with this suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn open(path: &Path, access: Access) -> io::Result<File> {
    // Without O_NONBLOCK, opening a FIFO that has no reader blocks. The flag has no effect on a regular file.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).mode(MODE);
    match access {
        Access::Append => options.append(true).create(true),
        Access::Existing => options.append(true),
        Access::Replace => options.write(true).create(true).truncate(false),
        Access::New => options.write(true).create_new(true),
    };
    let file = options
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}
