//! Chooses the directories and files that a process may read, so that it cannot read the hidden ones. See [`crate::sandbox::Front`] for the reasons.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::links::{Trace, trace};
use crate::sandbox::protections::Exposed;

/// For how long the process must be able to read its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Lifetime {
    /// Until they are replaced; then a new process takes over.
    Short,
    /// As long as it runs, also after they are replaced.
    Long,
}

/// The files that a process must be able to read, and those that it must not read.
pub(in crate::sandbox) struct Reading<'a> {
    pub(in crate::sandbox) lifetime: Lifetime,
    pub(in crate::sandbox) readable: &'a [PathBuf],
    pub(in crate::sandbox) unreadable: &'a [PathBuf],
    pub(in crate::sandbox) credentials: Option<&'a Path>,
}

/// The result: what the process may read.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Plan {
    /// Directories, with everything below them, also if it is created later.
    pub(in crate::sandbox) directories: BTreeSet<PathBuf>,
    /// Files, until they are replaced.
    pub(in crate::sandbox) files: BTreeSet<PathBuf>,
    /// Files that cannot be hidden.
    pub(in crate::sandbox) exposed: Vec<Exposed>,
}

/// Chooses what can be read. Paths in `writable` can also be read.
pub(in crate::sandbox) fn plan(reading: &Reading<'_>, writable: &[PathBuf]) -> Plan {
    let hidden: Vec<_> = reading.unreadable.iter().map(|path| trace(path)).collect();
    let hidden: BTreeSet<PathBuf> = hidden.into_iter().map(|trace| trace.end).collect();
    let mut plan = Plan::default();
    if hidden.is_empty() {
        plan.directories.insert(PathBuf::from("/"));
        return plan;
    }
    let credentials = reading.credentials.map(|path| trace(path).end);
    for path in reading.readable {
        plan.need(reading.lifetime, &trace(path), credentials.as_deref());
    }
    let writable: Vec<_> = writable.iter().map(|path| trace(path).end).collect();
    plan.find_exposed(&hidden, &writable);
    plan.complement(&hidden, credentials.as_deref());
    plan
}

impl Plan {
    fn need(&mut self, lifetime: Lifetime, path: &Trace, credentials: Option<&Path>) {
        if path.end.is_dir() {
            self.directories.insert(path.end.clone());
        } else {
            self.files.insert(path.end.clone());
        }
        let is_fixed = credentials.is_some_and(|directory| path.end.starts_with(directory));
        if lifetime == Lifetime::Short || is_fixed {
            return;
        }
        self.directories.extend(path.links.iter().cloned());
        if !path.end.is_dir() {
            let parent = path.end.parent().map(Path::to_owned);
            self.directories.extend(parent);
        }
    }

    /// Finds hidden files that are in, or below, a path that the process needs.
    fn find_exposed(&mut self, hidden: &BTreeSet<PathBuf>, writable: &[PathBuf]) {
        let needed = || self.directories.iter().chain(&self.files).chain(writable);
        let exposed = hidden.iter().filter_map(|file| {
            let directory = needed().find(|needed| file.starts_with(needed))?;
            Some(Exposed {
                file: file.clone(),
                directory: directory.clone(),
            })
        });
        self.exposed = exposed.collect();
    }

    /// Allows everything that exists and is not above a hidden file.
    fn complement(&mut self, hidden: &BTreeSet<PathBuf>, credentials: Option<&Path>) {
        let above: BTreeSet<&Path> = hidden
            .iter()
            .flat_map(|file| file.ancestors().skip(1))
            .collect();
        let homes: BTreeSet<&Path> = hidden.iter().filter_map(|file| file.parent()).collect();
        for directory in &above {
            let are_files_allowed = !homes.contains(directory) || credentials == Some(*directory);
            // A directory that cannot be listed allows nothing.
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            for entry in entries {
                let path = entry.path();
                if !above.contains(path.as_path()) && !hidden.contains(&path) {
                    self.allow(&entry, are_files_allowed);
                }
            }
        }
    }

    /// Allows a directory entry. Symbolic links are skipped: their targets are allowed, or not, by their own directories.
    fn allow(&mut self, entry: &DirEntry, are_files_allowed: bool) {
        let Ok(kind) = entry.file_type() else {
            return;
        };
        if kind.is_dir() {
            self.directories.insert(entry.path());
        } else if are_files_allowed && !kind.is_symlink() {
            self.files.insert(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
