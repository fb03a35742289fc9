//! What a sandboxed process can read, by the rule that the kernel applies: a file, or a directory above it, has been allowed.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::Stat;

/// A file or directory, whatever its name.
type Identity = (u64, u64);

/// The files and directories that may be read; everything while no sandbox restricts reading.
#[derive(Clone, Debug, Default)]
pub struct ReadRules(Option<HashSet<Identity>>);

impl ReadRules {
    /// Returns whether the sandbox lets this process read the file, through symbolic links. Permissions of the file itself are not
    /// considered. A file that does not exist is judged by its directory.
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
