//! The files that a document was read from, and whether they have changed since.
//!
//! Files are compared by their metadata at the moment they were opened. Symbolic links are followed. A link that now points to another
//! file is a change: this is how Kubernetes replaces a mounted volume.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::findings::Findings;
use crate::read_file::{self, Contents};

/// The metadata that identifies a file and its content. Two stamps are equal only if nothing was written in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            mode: metadata.mode(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// The file at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Missing,
    /// The file system did not answer.
    NoAnswer,
    Present(Stamp),
}

impl Found {
    fn at(path: &Path) -> Self {
        Self::from_metadata(&read_file::metadata(path))
    }

    fn from_metadata(metadata: &io::Result<Metadata>) -> Self {
        match metadata {
            Ok(metadata) => Self::Present(Stamp::new(metadata)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Self::NoAnswer,
            Err(_) => Self::Missing,
        }
    }
}

/// [`Sources::read`] or [`Sources::read_any`].
pub(crate) type Read = fn(&mut Sources, &Path) -> io::Result<Zeroizing<Vec<u8>>>;

/// The process that reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    ThisProcess,
    /// A worker: the file contains a PIN.
    OtherProcess,
}

/// The files that were read or could not be read, with their metadata at that time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<(PathBuf, Found, Reader)>);

impl Sources {
    /// Reads a regular file and records it, also if it cannot be read.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        self.read_by(path, read_file::regular)
    }

    /// As [`Sources::read`], but also reads a pipe or a terminal.
    pub(crate) fn read_any(&mut self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        self.read_by(path, read_file::any)
    }

    /// Reads the metadata of a regular file that another process reads, and records the file, also if it could not be read.
    pub(crate) fn metadata(&mut self, path: &Path) -> io::Result<Metadata> {
        let before = Found::at(path);
        let metadata = read_file::readable(path);
        let found = match &metadata {
            Err(error) if error.kind() != io::ErrorKind::TimedOut => before,
            metadata => Found::from_metadata(metadata),
        };
        self.0.push((path.to_owned(), found, Reader::OtherProcess));
        metadata
    }

    /// Reads the text of a document.
    ///
    /// # Errors
    /// One finding, if the file cannot be read or is not UTF-8 text.
    pub(crate) fn text(&mut self, file: &Path, read: Read) -> Result<Zeroizing<String>, Findings> {
        let text = read(self, file).and_then(|bytes| {
            let text = std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned()));
            text.map_err(|error| {
                let message = format!("it is not valid UTF-8 text: {error}");
                io::Error::new(io::ErrorKind::InvalidData, message)
            })
        });
        let message = |error| format!("cannot read {}: {error}", file.display());
        text.map_err(|error| Findings::single("", message(error)))
    }

    fn read_by(
        &mut self,
        path: &Path,
        read: fn(&Path) -> io::Result<Contents>,
    ) -> io::Result<Zeroizing<Vec<u8>>> {
        // Before the file is read: a file that replaces an unreadable one during the attempt is a change.
        let before = Found::at(path);
        let contents = read(path);
        let found = match &contents {
            // The metadata of the open file: another file may have its path now.
            Ok(contents) => Found::Present(Stamp::new(&contents.metadata)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Found::NoAnswer,
            Err(_) => before,
        };
        self.0.push((path.to_owned(), found, Reader::ThisProcess));
        Ok(contents?.bytes)
    }

    /// Records a directory. It changes when a file is added to it or removed from it.
    pub(crate) fn note_directory(&mut self, path: &Path) {
        let found = Found::at(path);
        self.0.push((path.to_owned(), found, Reader::ThisProcess));
    }

    /// Returns whether the file system of at least one file did not answer.
    pub fn lack_an_answer(&self) -> bool {
        self.0.iter().any(|(_, found, _)| *found == Found::NoAnswer)
    }

    /// The files, and the directories whose files are read.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _, _)| path.as_path())
    }

    /// The files that this process reads, and the directories whose files it reads.
    pub fn own_files(&self) -> impl Iterator<Item = &Path> {
        self.files_of(Reader::ThisProcess)
    }

    /// The files that only workers read: PIN files.
    pub fn files_of_others(&self) -> impl Iterator<Item = &Path> {
        self.files_of(Reader::OtherProcess)
    }

    fn files_of(&self, reader: Reader) -> impl Iterator<Item = &Path> {
        let found = self.0.iter().filter(move |(_, _, by)| *by == reader);
        found.map(|(path, _, _)| path.as_path())
    }

    /// The file that was read first: the document.
    pub(crate) fn first(&self) -> Option<&Path> {
        self.0.first().map(|(path, _, _)| path.as_path())
    }

    /// Returns the permissions that a file had when it was last read; `None` if it could not be read.
    pub(crate) fn mode_of(&self, path: &Path) -> Option<u32> {
        let mut latest = self.0.iter().rev();
        match latest.find(|(known, _, _)| known == path)? {
            (_, Found::Present(stamp), _) => Some(stamp.mode),
            _ => None,
        }
    }

    /// Returns the same files with their current metadata.
    pub fn now(&self) -> Self {
        let refresh = |(path, _, reader): &_| -> (PathBuf, Found, Reader) {
            let path: &PathBuf = path;
            (path.clone(), Found::at(path), *reader)
        };
        Self(self.0.iter().map(refresh).collect())
    }

    /// Returns whether a file is being written: it is the same file as in `earlier`, but with other content.
    /// A file that replaced another one by a rename is complete.
    pub fn are_being_written(&self, earlier: &Self) -> bool {
        let mut pairs = self.0.iter().zip(&earlier.0);
        pairs.any(|((_, now, _), (_, then, _))| match (now, then) {
            (Found::Present(now), Found::Present(then)) => now.is_same_file(then) && now != then,
            // A new file may still be empty. A removed file may be about to be written again.
            (now, then) => now != then,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read(path: &Path) -> Sources {
        let mut sources = Sources::default();
        drop(sources.read(path));
        sources
    }

    #[test]
    fn every_kind_of_change_is_detected() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (target, link) = (path("a"), path("link"));
        fs::write(&target, "one").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let sources = read(&link);
        assert_eq!(sources.now(), sources);

        fs::write(&target, "two").unwrap();
        let written = sources.now();
        assert_ne!(written, sources);
        assert!(written.are_being_written(&sources));
        assert!(
            !written.now().are_being_written(&written),
            "no more changes"
        );

        fs::write(path("b"), "three").unwrap();
        fs::rename(path("b"), &target).unwrap();
        let renamed = sources.now();
        assert_ne!(renamed, written);
        assert!(
            !renamed.are_being_written(&written),
            "a renamed file is complete"
        );

        fs::write(path("c"), "four").unwrap();
        std::os::unix::fs::symlink(path("c"), path("link2")).unwrap();
        fs::rename(path("link2"), &link).unwrap();
        assert_ne!(sources.now(), renamed, "the link points elsewhere");
        fs::remove_file(&link).unwrap();
        assert_ne!(sources.now(), renamed);
        assert!(sources.now().are_being_written(&renamed));
    }

    #[test]
    fn files_are_listed_by_their_readers() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("pin"), "270831").unwrap();
        let mut sources = read(&path("own"));
        sources.note_directory(directory.path());
        sources.metadata(&path("pin")).unwrap();
        let own: Vec<_> = sources.own_files().collect();
        assert_eq!(own, [path("own").as_path(), directory.path()]);
        let worker_files: Vec<_> = sources.files_of_others().collect();
        assert_eq!(worker_files, [path("pin")]);
        assert_eq!(sources.now(), sources);
    }

    #[test]
    fn the_creation_of_a_missing_file_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("late");
        let sources = read(&path);
        assert_eq!(sources.now(), sources);
        fs::write(&path, "here").unwrap();
        assert_ne!(sources.now(), sources);
    }

    #[test]
    fn an_unreadable_file_is_a_change_only_when_it_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let mut sources = Sources::default();
        let error = sources.read(&path).unwrap_err();
        assert!(error.to_string().contains("a FIFO"), "{error}");
        assert_eq!(sources.now(), sources, "it is unchanged");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "here").unwrap();
        assert_ne!(sources.now(), sources);
    }
}
