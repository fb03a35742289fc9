//! Checks which files every user of the machine can read or write.
//!
//! # Invariants
//! - A file that controls access is not used while every user of the machine can write or replace it.
//! - A secret is not used while every user of the machine can read it, unless [`DANGER`] allows it.
//! - The checked permissions are those of the file that was opened, after all symbolic links.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use crate::read_file;
use crate::toml_file::Section;

/// The key, at the top of the configuration, that allows secret files which every user of the machine can read.
pub(in crate::config) const DANGER: &str = "danger_world_readable_secrets";

/// The permission bits of other users: neither the owner nor in the group.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

/// In a directory with this bit, only the owner of a file can rename or remove it.
const STICKY: u32 = 0o1000;

/// The permission bits in messages.
const SHOWN: u32 = 0o7777;

/// The maximum number of symbolic links in one path (Linux: `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Reads [`DANGER`]. Must be called before the first secret is read.
pub(in crate::config) fn settings(root: &Section<'_>) {
    if root.boolean(DANGER) == Some(true) {
        root.allow_readable_secrets();
    }
}

/// Checks the configuration file itself.
pub(in crate::config) fn check_document(root: &Section<'_>) {
    if let Some(file) = root.document_file() {
        check_file(root, "", &file);
    }
}

/// Checks the configuration file, if it contains a secret.
pub(in crate::config) fn check_inline_secret(section: &Section<'_>, key: &str) {
    if let Some(file) = section.document_file() {
        check_secret(section, key, &file);
    }
}

/// Checks a secret file that was read before.
pub(in crate::config) fn check_secret(section: &Section<'_>, key: &str, path: &Path) {
    let Some(mode) = section.mode_of(path).filter(|mode| mode & OTHERS_READ != 0) else {
        return;
    };
    let problem = format!("everybody can read {}", shown(path, mode));
    match section.allows_readable_secrets() {
        true => section.warn(key, format!("{problem}, which {DANGER} allows")),
        false => section.error(
            key,
            format!(
                "{problem}; chmod o-r it, or set {DANGER} = true at the top of the configuration"
            ),
        ),
    }
}

/// Checks that not every user of the machine can change a file that was read before.
pub(in crate::config) fn check_file(section: &Section<'_>, key: &str, path: &Path) {
    if let Some(mode) = section.mode_of(path) {
        check_writers(section, key, path, mode);
    }
}

/// Checks that not every user of the machine can change a file or a directory that was not read before. A missing file is not an
/// error.
pub(in crate::config) fn check_unread(section: &Section<'_>, key: &str, path: &Path) {
    if let Ok(metadata) = read_file::metadata(path) {
        check_writers(section, key, path, metadata.permissions().mode());
    }
}

fn check_writers(section: &Section<'_>, key: &str, path: &Path, mode: u32) {
    let is_read_only = |path: &Path| read_file::with_timeout(path, |path| Ok(is_read_only(path)));
    if mode & OTHERS_WRITE != 0 && !is_read_only(path).unwrap_or(false) {
        let file = shown(path, mode);
        section.error(key, format!("everybody can write {file}; chmod o-w it"));
    }
    match read_file::with_timeout(path, |path| Ok(open_directory(path))) {
        Ok(Some((directory, mode))) if section.is_first_report_of(&directory) => {
            let (directory, path) = (shown(&directory, mode), path.display());
            let problem = format!("everybody can replace {path}, in {directory}");
            section.error(key, format!("{problem}; chmod o-w it"));
        }
        Ok(_) => {}
        Err(error) => {
            let problem = format!("cannot check who can replace {}", path.display());
            section.error(key, format!("{problem}: {error}"));
        }
    }
}

fn shown(path: &Path, mode: u32) -> String {
    format!("{} (mode {:04o})", path.display(), mode & SHOWN)
}

/// The permissions of a Kubernetes volume may allow everybody to write, although the volume is mounted read-only.
fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Returns the first directory on the path of a file, through all symbolic links, in which every user of the machine can rename
/// files; with its mode.
fn open_directory(path: &Path) -> Option<(PathBuf, u32)> {
    let names = |path: &Path| -> Vec<OsString> {
        let components = path.components();
        let is_name =
            |part: &Component<'_>| !matches!(part, Component::RootDir | Component::CurDir);
        let parts = components.filter(is_name);
        parts.map(|part| part.as_os_str().to_owned()).collect()
    };
    let path = std::path::absolute(path).ok()?;
    let mut ahead = VecDeque::from(names(&path));
    let (mut here, mut links) = (PathBuf::from("/"), 0);
    while let Some(name) = ahead.pop_front() {
        let mode = fs::metadata(&here).ok()?.permissions().mode();
        let is_open = mode & OTHERS_WRITE != 0 && mode & STICKY == 0;
        if is_open && !is_read_only(&here) {
            return Some((here, mode));
        }
        let next = here.join(&name);
        match fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                names(&target)
                    .into_iter()
                    .rev()
                    .for_each(|name| ahead.push_front(name));
            }
            Ok(_) => return None,
            Err(_) if name == ".." => {
                here.pop();
            }
            Err(_) => here = next,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// `open/` and `closed/` with a file each.
    fn directories() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, mode) in [("open", 0o777), ("closed", 0o755), ("sticky", 0o1777)] {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("file"), "").unwrap();
            set_mode(&path, mode);
        }
        directory
    }

    #[test]
    fn every_directory_on_the_path_is_checked() {
        let directory = directories();
        let path = |name: &str| directory.path().join(name);
        let found = |name: &str| open_directory(&path(name)).map(|(found, _)| found);
        assert_eq!(found("open/file"), Some(path("open")));
        assert_eq!(found("open/not-there"), Some(path("open")));
        assert_eq!(found("closed/file"), None);
        assert_eq!(found("sticky/file"), None);
        assert_eq!(found("closed/../open/file"), Some(path("open")));
        fs::create_dir(path("open/deep")).unwrap();
        assert_eq!(found("open/deep/file"), Some(path("open")));
    }

    #[test]
    fn symbolic_links_are_followed_step_by_step() {
        let directory = directories();
        let path = |name: &str| directory.path().join(name);
        let found = |name: &str| open_directory(&path(name)).map(|(found, _)| found);
        // The link is safe, its target is not.
        symlink(path("open/file"), path("closed/absolute")).unwrap();
        symlink("../open/file", path("closed/relative")).unwrap();
        // The target is safe, the link is not.
        symlink(path("closed/file"), path("open/link")).unwrap();
        symlink(path("open"), path("closed/directory")).unwrap();
        symlink("link", path("closed/through")).unwrap();
        symlink("../open/link", path("closed/link")).unwrap();
        for name in [
            "closed/absolute",
            "closed/relative",
            "open/link",
            "closed/directory/file",
            "closed/through",
        ] {
            assert_eq!(found(name), Some(path("open")), "{name}");
        }
        symlink("loop", path("closed/loop")).unwrap();
        assert_eq!(found("closed/loop"), None, "it cannot be read either");
    }
}
