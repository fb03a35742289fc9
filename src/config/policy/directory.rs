//! A directory of policies: selects the files to read, and reports the others.
//!
//! # Invariants
//! - A file that looks like a policy but is not read is an error.
//! - Any other file causes a warning, except hidden files, backup files of editors, and documentation.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::files::exposure;
use crate::read_file;
use crate::toml_file::Section;

/// The ending of policy files.
const ENDING: &str = "cedar";

/// Endings of files that are ignored: documentation, and the schema for editors.
const COMPANIONS: [&str; 2] = ["md", "cedarschema"];

/// The maximum depth of subdirectories that are searched for policies.
const MAX_DEPTH: usize = 8;

/// Returns the names of the `.cedar` files in a directory, in order; `None` if there is an error.
pub(super) fn policies(section: &Section<'_>, directory: &Path) -> Option<Vec<OsString>> {
    exposure::check_unread(section, "path", directory);
    let mut names = Vec::new();
    for name in visible(section, directory)? {
        let path = directory.join(&name);
        match is_directory(&path) {
            true => report_directory(section, &path),
            false if has_ending(&path) => names.push(name.into()),
            false => report_file(section, &path),
        }
    }
    if names.is_empty() {
        let directory = directory.display();
        let message = format!("{directory} has no .{ENDING} file: everything would be denied");
        section.error("path", message);
        return None;
    }
    Some(names)
}

/// Returns the names in a directory that are not ignored, in order. A later change of the directory causes a reload.
fn visible(section: &Section<'_>, directory: &Path) -> Option<Vec<PathBuf>> {
    section.note_directory(directory);
    let listed = read_file::list(directory).map_err(|error| {
        let directory = directory.display();
        section.error("path", format!("cannot read {directory}: {error}"));
    });
    let mut names = listed.ok()?;
    names.retain(|name| !is_ignored(&name.to_string_lossy()));
    Some(names)
}

/// If the file system does not answer, the path is treated as a file, which then cannot be read.
fn is_directory(path: &Path) -> bool {
    read_file::metadata(path).is_ok_and(|found| found.is_dir())
}

/// Returns whether this is a hidden file or a backup file of an editor: `.#a.cedar`, `#a.cedar#`, `a.cedar~`, `a.cedar.swp`.
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
        let problem = format!("{name} is not read: the ending must be .{ENDING} in lower case");
        return section.error("path", format!("{problem}; rename the file, or remove it"));
    }
    let is_companion = |ending| COMPANIONS.iter().any(|known| ending == *known);
    if !path.extension().is_some_and(is_companion) {
        let message = format!("{name} is not read: policy files end in .{ENDING}");
        section.warn("path", message);
    }
}

fn report_directory(section: &Section<'_>, path: &Path) {
    let name = path.display();
    match policy_below(section, path, 1) {
        Some(policy) => {
            let policy = policy.display();
            let problem = format!("{policy} is not read: subdirectories are not searched");
            section.error("path", format!("{problem}; move the file up, or remove it"));
        }
        None => section.warn("path", format!("{name} is not read: it is a directory")),
    }
}

/// Returns the first file in a directory and its subdirectories that looks like a policy.
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
    fn backup_files_of_editors_are_ignored() {
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
