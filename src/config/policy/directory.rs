//! A directory of policies: which of its files are read, and which of the others are reported.
//!
//! # Invariants
//! - A file that looks like a policy and is not read is an error.
//! - Any other file is a warning, except hidden files, those that editors leave behind, and documentation.

use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use crate::config::exposure;
use crate::config::section::Section;

/// How policy files end.
const ENDING: &str = "cedar";

/// Endings of files that may be beside policies: documentation, and the schema for editors.
const COMPANIONS: [&str; 2] = ["md", "cedarschema"];

/// Directories in directories that are looked into for policies.
const MAX_DEPTH: usize = 8;

/// The names of the `.cedar` files in a directory, in order; none when there is an error.
pub(super) fn policies(section: &Section<'_>, place: &Path) -> Option<Vec<OsString>> {
    exposure::check_unread(section, "path", place);
    let mut names = Vec::new();
    for entry in entries(section, place)? {
        if is_ignored(&name_of(&entry)) {
            continue;
        }
        let path = entry.path();
        match path.is_dir() {
            true => report_directory(section, &path),
            false if has_ending(&path) => names.push(entry.file_name()),
            false => report_file(section, &path),
        }
    }
    if names.is_empty() {
        let what = format!(
            "{} has no .{ENDING} file: everything would be denied",
            place.display()
        );
        section.fault("path", what);
        return None;
    }
    Some(names)
}

/// Lists a directory by name. A later change of the directory is a change of the configuration.
fn entries(section: &Section<'_>, place: &Path) -> Option<Vec<DirEntry>> {
    // A file that comes or goes changes the directory.
    section.note_directory(place);
    let listed = fs::read_dir(place).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let listed = listed.map_err(|error| {
        section.fault("path", format!("cannot read {}: {error}", place.display()));
    });
    let mut entries = listed.ok()?;
    entries.sort_by_key(DirEntry::file_name);
    Some(entries)
}

fn name_of(entry: &DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

/// Hidden files, and what editors leave beside a file: `.#a.cedar`, `#a.cedar#`, `a.cedar~`, `a.cedar.swp`.
fn is_ignored(name: &str) -> bool {
    let is_swap = [".swp", ".swo"].iter().any(|ending| name.ends_with(ending));
    let is_autosave = name.starts_with('#') && name.ends_with('#');
    name.starts_with('.') || name.ends_with('~') || is_swap || is_autosave
}

fn has_ending(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == ENDING)
}

fn looks_like_policy(name: &str) -> bool {
    Path::new(&name.to_ascii_lowercase())
        .extension()
        .is_some_and(|ending| ending == ENDING)
}

fn report_file(section: &Section<'_>, path: &Path) {
    let name = path.display().to_string();
    if looks_like_policy(&name) {
        let what = format!("{name} is not read: the ending must be .{ENDING} in lower case");
        return section.fault("path", format!("{what}; rename the file, or remove it"));
    }
    let is_companion = |ending| COMPANIONS.iter().any(|known| ending == *known);
    if !path.extension().is_some_and(is_companion) {
        let what = format!("{name} is not read: policy files end in .{ENDING}");
        section.warn("path", what);
    }
}

fn report_directory(section: &Section<'_>, path: &Path) {
    let name = path.display();
    match policy_below(section, path, 1) {
        Some(policy) => {
            let what = format!(
                "{} is not read: directories in it are not",
                policy.display()
            );
            section.fault(
                "path",
                format!("{what} looked into; move the file up, or remove it"),
            );
        }
        None => section.warn("path", format!("{name} is not read: it is a directory")),
    }
}

/// The first file in a directory, and in those in it, that looks like a policy.
fn policy_below(section: &Section<'_>, directory: &Path, depth: usize) -> Option<PathBuf> {
    let entries = entries(section, directory)?;
    let entries = entries.iter().filter(|entry| !is_ignored(&name_of(entry)));
    let mut paths = entries.map(DirEntry::path);
    paths.find_map(|path| match path.is_dir() {
        true if depth < MAX_DEPTH => policy_below(section, &path, depth + 1),
        true => None,
        false => looks_like_policy(&path.to_string_lossy()).then_some(path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_leave_behind_is_ignored() {
        for name in [
            ".#a.cedar",
            ".a.cedar",
            ".a.cedar.swp",
            "#a.cedar#",
            "a.cedar~",
            "a.cedar.~1~",
            "a.cedar.swp",
            "..data",
            ".git",
        ] {
            assert!(is_ignored(name), "{name}");
        }
        for name in [
            "a.cedar",
            "b.CEDAR",
            "a.cedar.bak",
            "#a.cedar",
            "deny",
            "README",
        ] {
            assert!(!is_ignored(name), "{name}");
        }
    }
}
