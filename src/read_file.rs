//! Reading files that somebody names: the configuration, or the command line.
//!
//! A name can lead to anything: a FIFO without a writer, a terminal, a tape drive, a disk image, a file server that no longer answers. None
//! of them may stop the proxy, because the thread that reads is the one that would notice the next change of the configuration.
//!
//! # Invariants
//! - [`regular`] opens regular files only, and never blocks at opening: a device is not even opened, because that alone can have an effect.
//! - [`regular`], [`readable`], [`list`], [`look`] and [`patiently`] return within [`PATIENCE`]. A file system that does not answer costs one thread per directory at most;
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

/// How long a file system may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Reads a regular file, through symbolic links.
///
/// # Errors
/// Those of the file system; `InvalidInput` for what is not a regular file, `FileTooLarge` above [`MAX_SIZE`], and `TimedOut` when the file
/// system does not answer. All say what is wrong in words for an operator.
pub fn regular(path: &Path) -> io::Result<Contents> {
    within(path, PATIENCE, contents::of_regular)
}

/// Reads whatever the path leads to, until its end: also a pipe or a terminal, as `/dev/stdin` and a shell's `<(…)` are. For what the
/// operator names on the command line of a command that does one thing and ends: it waits as long as the operator lets it.
///
/// # Errors
/// Those of the file system; `FileTooLarge` above [`MAX_SIZE`].
pub fn any(path: &Path) -> io::Result<Contents> {
    contents::of_any(path)
}

/// What a path leads to now, through symbolic links.
///
/// # Errors
/// Those of the file system, and `TimedOut` when it does not answer.
pub fn look(path: &Path) -> io::Result<Metadata> {
    within(path, PATIENCE, |path| fs::metadata(path))
}

/// The metadata of a regular file that [`regular`] could read now. The file is not opened.
///
/// # Errors
/// Those of [`regular`], as far as the metadata and the permissions show them.
pub fn readable(path: &Path) -> io::Result<Metadata> {
    within(path, PATIENCE, contents::metadata_of_readable)
}

/// Does any other work on a path.
///
/// # Errors
/// Those of `work`, and `TimedOut` when the file system does not answer.
pub fn patiently<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    within(path, PATIENCE, work)
}

/// The names in a directory, in order.
///
/// # Errors
/// Those of the file system, and `TimedOut` when it does not answer.
pub fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    within(directory, PATIENCE, |directory| {
        let entries = fs::read_dir(directory)?;
        let mut names = entries
            .map(|entry| Ok(PathBuf::from(entry?.file_name())))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    })
}
