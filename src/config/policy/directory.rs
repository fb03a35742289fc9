//! A directory of policies: which of its files are read, and which of the others are reported.
//!
//! # Invariants
//! - A file that looks like a policy and is not read is an error.
//! - Any other file is a warning, except hidden files, those that editors leave behind, and documentation.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::exposure;
use crate::config::section::Section;
use crate::read_file;

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
    for name in visible(section, place)? {
        let path = place.join(&name);
        match is_directory(&path) {
            true => report_directory(section, &path),
            false if has_ending(&path) => names.push(name.into()),
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

/// The names in a directory that are not ignored, in order. A later change of the directory is a change of the configuration.
fn visible(section: &Section<'_>, place: &Path) -> Option<Vec<PathBuf>> {
    // A file that comes or goes changes the directory.
    section.note_directory(place);
    let listed = read_file::list(place).map_err(|error| {
        section.fault("path", format!("cannot read {}: {error}", place.display()));
    });
    let mut names = listed.ok()?;
    names.retain(|name| !is_ignored(&name.to_string_lossy()));
    Some(names)
}

/// What does not answer is taken for a file, which then cannot be read.
fn is_directory(path: &Path) -> bool {
    read_file::look(path).is_ok_and(|found| found.is_dir())
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
    let names = visible(section, directory)?;
    let mut paths = names.iter().map(|name| directory.join(name));
    paths.find_map(|path| match is_directory(&path) {
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
