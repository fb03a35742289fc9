//! Which files a configuration was read from, and whether they are still what was read.
//!
//! A file is known by what it was at the moment it was opened. Symbolic links are followed: a link that points elsewhere is a file that
//! has changed, as when Kubernetes replaces a mounted volume.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

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

/// Every file that was read, or that could not be read, with what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<(PathBuf, Option<Stamp>)>);

impl Sources {
    /// Reads a file and notes it, also when it cannot be read.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        let opened = File::open(path);
        // The open file's, not the path's: it is this one that is read.
        let stamp = opened.as_ref().ok().and_then(|file| file.metadata().ok());
        self.0
            .push((path.to_owned(), stamp.as_ref().map(Stamp::of)));
        // With one place for all of it, no copy of a secret is left behind by a buffer that grows.
        let size = stamp.map_or(0, |metadata| metadata.size());
        let capacity = usize::try_from(size).unwrap_or(0).saturating_add(1);
        let mut contents = Zeroizing::new(Vec::with_capacity(capacity));
        opened?.read_to_end(&mut contents)?;
        Ok(contents)
    }

    /// Notes a directory: it is another one when a file has come or gone.
    pub(super) fn note(&mut self, path: &Path) {
        let stamp = fs::metadata(path).ok();
        self.0
            .push((path.to_owned(), stamp.as_ref().map(Stamp::of)));
    }

    /// The file that was read first: the configuration itself.
    pub(super) fn first(&self) -> Option<&Path> {
        self.0.first().map(|(path, _)| path.as_path())
    }

    /// The permissions that a file had when it was read last; none when it could not be read.
    pub(super) fn mode_of(&self, path: &Path) -> Option<u32> {
        let mut latest = self.0.iter().rev();
        let (_, stamp) = latest.find(|(known, _)| known == path)?;
        stamp.as_ref().map(|stamp| stamp.mode)
    }

    /// The same files as they are now.
    pub fn now(&self) -> Self {
        let look = |(path, _): &(PathBuf, Option<Stamp>)| {
            let metadata = fs::metadata(path).ok();
            (path.clone(), metadata.as_ref().map(Stamp::of))
        };
        Self(self.0.iter().map(look).collect())
    }

    /// Whether some file is being written: it is the same file as a moment ago, when `earlier` was looked at, but not the same content.
    /// A file that was put into the place of another is whole.
    pub fn are_being_written(&self, earlier: &Self) -> bool {
        let mut pairs = self.0.iter().zip(&earlier.0);
        pairs.any(|((_, now), (_, then))| match (now, then) {
            (Some(now), Some(then)) => now.is_same_file(then) && now != then,
            // A file that has just been made may be still empty; one that is gone may be about to come back.
            (now, then) => now != then,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_file_that_is_missing_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("late");
        let sources = read(&path);
        assert_eq!(sources.now(), sources);
        fs::write(&path, "here").unwrap();
        assert_ne!(sources.now(), sources);
    }
}
