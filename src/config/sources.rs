//! Which files a configuration was read from, and whether they are still what was read.
//!
//! A file is known by what it was at the moment it was opened. Symbolic links are followed: a link that points elsewhere is a file that
//! has changed, as when Kubernetes replaces a mounted volume.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::report::Findings;
use crate::read_file::{self, Contents};

/// What a file was when it was looked at. Two stamps are the same only if nothing was written in between.
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
    fn of(metadata: &Metadata) -> Self {
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

/// What a path led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Its file system did not answer.
    NoAnswer,
    There(Stamp),
}

impl Found {
    fn at(path: &Path) -> Self {
        Self::of(&read_file::look(path))
    }

    fn of(looked: &io::Result<Metadata>) -> Self {
        match looked {
            Ok(metadata) => Self::There(Stamp::of(metadata)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Self::NoAnswer,
            Err(_) => Self::Nothing,
        }
    }
}

/// A way to read a file: [`Sources::read`] or [`Sources::read_any`].
pub(super) type Read = fn(&mut Sources, &Path) -> io::Result<Zeroizing<Vec<u8>>>;

/// Who reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    This,
    /// Another process: it holds a PIN.
    Other,
}

/// Every file that was read, or that could not be read, with what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<(PathBuf, Found, Reader)>);

impl Sources {
    /// Reads a regular file and notes it, also when it cannot be read.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        self.read_by(path, read_file::regular)
    }

    /// The same for what may also be a pipe: it is read once.
    pub(super) fn read_any(&mut self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        self.read_by(path, read_file::any)
    }

    /// Looks at a regular file that another process reads, and notes it, also when it could not be read.
    pub(super) fn look(&mut self, path: &Path) -> io::Result<Metadata> {
        let before = Found::at(path);
        let looked = read_file::readable(path);
        let found = match &looked {
            Err(error) if error.kind() != io::ErrorKind::TimedOut => before,
            looked => Found::of(looked),
        };
        self.0.push((path.to_owned(), found, Reader::Other));
        looked
    }

    /// Reads the text of a configuration.
    ///
    /// # Errors
    /// One finding, when it cannot be read or is not text.
    pub(super) fn text(&mut self, file: &Path, read: Read) -> Result<Zeroizing<String>, Findings> {
        let text = read(self, file).and_then(|bytes| {
            let text = std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned()));
            text.map_err(|error| {
                let what = format!("it is not valid UTF-8 text: {error}");
                io::Error::new(io::ErrorKind::InvalidData, what)
            })
        });
        let wrong = |error| format!("cannot read {}: {error}", file.display());
        text.map_err(|error| Findings::single("", wrong(error)))
    }

    fn read_by(
        &mut self,
        path: &Path,
        read: fn(&Path) -> io::Result<Contents>,
    ) -> io::Result<Zeroizing<Vec<u8>>> {
        // Before it is read: what comes into its place while it cannot be read is a change.
        let before = Found::at(path);
        let contents = read(path);
        let found = match &contents {
            // The open file's, not the path's: it is this one that was read.
            Ok(contents) => Found::There(Stamp::of(&contents.metadata)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Found::NoAnswer,
            Err(_) => before,
        };
        self.0.push((path.to_owned(), found, Reader::This));
        Ok(contents?.bytes)
    }

    /// Notes a directory: it is another one when a file has come or gone.
    pub(super) fn note(&mut self, path: &Path) {
        let found = Found::at(path);
        self.0.push((path.to_owned(), found, Reader::This));
    }

    /// Whether the file system of one of them did not answer.
    pub fn lack_an_answer(&self) -> bool {
        self.0.iter().any(|(_, found, _)| *found == Found::NoAnswer)
    }

    /// Every path so far: files, and directories whose files are read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _, _)| path.as_path())
    }

    /// The files that this process reads, and the directories whose files it reads.
    pub fn own_files(&self) -> impl Iterator<Item = &Path> {
        self.read_by_whom(Reader::This)
    }

    /// The files that only other processes read: those with PINs.
    pub fn files_of_others(&self) -> impl Iterator<Item = &Path> {
        self.read_by_whom(Reader::Other)
    }

    fn read_by_whom(&self, reader: Reader) -> impl Iterator<Item = &Path> {
        let found = self.0.iter().filter(move |(_, _, by)| *by == reader);
        found.map(|(path, _, _)| path.as_path())
    }

    /// The file that was read first: the configuration itself.
    pub(super) fn first(&self) -> Option<&Path> {
        self.0.first().map(|(path, _, _)| path.as_path())
    }

    /// The permissions that a file had when it was read last; none when it could not be read.
    pub(super) fn mode_of(&self, path: &Path) -> Option<u32> {
        let mut latest = self.0.iter().rev();
        match latest.find(|(known, _, _)| known == path)? {
            (_, Found::There(stamp), _) => Some(stamp.mode),
            _ => None,
        }
    }

    /// The same files as they are now.
    pub fn now(&self) -> Self {
        let look = |(path, _, reader): &_| -> (PathBuf, Found, Reader) {
            let path: &PathBuf = path;
            (path.clone(), Found::at(path), *reader)
        };
        Self(self.0.iter().map(look).collect())
    }

    /// Whether some file is being written: it is the same file as a moment ago, when `earlier` was looked at, but not the same content.
    /// A file that was put into the place of another is whole.
    pub fn are_being_written(&self, earlier: &Self) -> bool {
        let mut pairs = self.0.iter().zip(&earlier.0);
        pairs.any(|((_, now, _), (_, then, _))| match (now, then) {
            (Found::There(now), Found::There(then)) => now.is_same_file(then) && now != then,
            // A file that has just been made may be still empty; one that is gone may be about to come back.
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
    fn a_change_is_seen_however_it_is_made() {
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
        assert!(!written.now().are_being_written(&written), "it has settled");

        fs::write(path("b"), "three").unwrap();
        fs::rename(path("b"), &target).unwrap();
        let renamed = sources.now();
        assert_ne!(renamed, written);
        assert!(
            !renamed.are_being_written(&written),
            "a renamed file is whole"
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
    fn files_are_told_apart_by_their_readers() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("pin"), "270831").unwrap();
        let mut sources = read(&path("own"));
        sources.note(directory.path());
        sources.look(&path("pin")).unwrap();
        let own: Vec<_> = sources.own_files().collect();
        assert_eq!(own, [path("own").as_path(), directory.path()]);
        let of_others: Vec<_> = sources.files_of_others().collect();
        assert_eq!(of_others, [path("pin")]);
        assert_eq!(sources.now(), sources);
    }

    #[test]
    fn a_file_that_is_missing_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("late");
        let sources = read(&path);
        assert_eq!(sources.now(), sources);
        fs::write(&path, "here").unwrap();
        assert_ne!(sources.now(), sources);
    }
    #[test]
    fn what_cannot_be_read_is_a_change_when_it_changes_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let mut sources = Sources::default();
        let error = sources.read(&path).unwrap_err();
        assert!(error.to_string().contains("a FIFO"), "{error}");
        assert_eq!(sources.now(), sources, "it is not read again and again");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "here").unwrap();
        assert_ne!(sources.now(), sources);
    }
}
