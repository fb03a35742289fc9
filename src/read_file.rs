//! Reads files that the configuration or the command line names.
//!
//! A path can lead to a FIFO without a writer, a terminal, a tape drive, a disk image, or a file server that does not answer. None of
//! them may block the proxy: the thread that reads also detects the next change of the configuration.
//!
//! # Invariants
//! - [`regular`] opens only regular files, and opening never blocks. A device is not opened at all, because opening it can have an effect.
//! - [`regular`], [`readable`], [`list`], [`metadata`] and [`with_timeout`] return within [`TIMEOUT`]. A file system that does not answer costs one thread per directory at most;
//!   while that thread hangs, every path in the directory fails at once.
//! - No more than [`MAX_SIZE`] bytes are read. No unwiped copy of the contents is left in memory.

mod contents;
mod hanging;

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use contents::{Contents, MAX_SIZE};
use hanging::within;

/// The time limit for a file system.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads a regular file, through symbolic links.
///
/// # Errors
/// Those of the file system; `InvalidInput` if it is not a regular file, `FileTooLarge` above [`MAX_SIZE`], and `TimedOut` if the file
/// system does not answer. The messages are for operators.
pub fn regular(path: &Path) -> io::Result<Contents> {
    within(path, TIMEOUT, contents::of_regular)
}

/// Reads a file of any type until its end, also a pipe or a terminal, such as `/dev/stdin` and the `<(…)` of a shell. For files on the
/// command line of a command that ends after its work. It has no time limit: the operator can stop the command.
///
/// # Errors
/// Those of the file system; `FileTooLarge` above [`MAX_SIZE`].
pub fn any(path: &Path) -> io::Result<Contents> {
    contents::of_any(path)
}

/// Returns the metadata of a path, through symbolic links.
///
/// # Errors
/// Those of the file system, and `TimedOut` if it does not answer.
pub fn metadata(path: &Path) -> io::Result<Metadata> {
    within(path, TIMEOUT, |path| fs::metadata(path))
}

/// Returns the metadata of a regular file that [`regular`] could read. The file is not opened.
///
/// # Errors
/// Those of [`regular`], as far as the metadata and the permissions show them.
pub fn readable(path: &Path) -> io::Result<Metadata> {
    within(path, TIMEOUT, contents::metadata_of_readable)
}

/// Does other work on a path.
///
/// # Errors
/// Those of `work`, and `TimedOut` if the file system does not answer.
pub fn with_timeout<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    within(path, TIMEOUT, work)
}

/// Returns the names in a directory, in order.
///
/// # Errors
/// Those of the file system, and `TimedOut` when it does not answer.
pub fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    within(directory, TIMEOUT, |directory| {
        let entries = fs::read_dir(directory)?;
        let mut names = entries
            .map(|entry| Ok(PathBuf::from(entry?.file_name())))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    })
}
