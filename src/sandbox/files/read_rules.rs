//! Predicts what a sandboxed process can read, by the rule of the kernel: the file, or a directory above it, must be allowed.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::Stat;

/// Device and inode of a file or directory.
type Identity = (u64, u64);

/// The files and directories that may be read. By default everything, for a process without a sandbox.
#[derive(Clone, Debug, Default)]
pub struct ReadRules(Option<HashSet<Identity>>);

impl ReadRules {
    /// Returns whether the sandbox allows this process to read the file. Follows symbolic links; ignores file permissions. For a file that does
    /// not exist, its directory decides.
    pub fn allows(&self, path: &Path) -> bool {
        let Some(allowed) = &self.0 else {
            return true;
        };
        let end = super::links::trace(path).end;
        let identities = end.ancestors().filter_map(|path| {
            let metadata = fs::symlink_metadata(path).ok()?;
            Some((metadata.dev(), metadata.ino()))
        });
        identities
            .into_iter()
            .any(|identity| allowed.contains(&identity))
    }

    pub(in crate::sandbox) fn restrict(&mut self) {
        self.0.get_or_insert_default();
    }

    pub(in crate::sandbox) fn allow(&mut self, stat: &Stat) {
        let identity = (stat.st_dev, stat.st_ino);
        self.0.get_or_insert_default().insert(identity);
    }
}
