//! Resolves a path and lists the symbolic links on the way.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The most symbolic links that the kernel follows in a path.
const MAX_LINKS: usize = 40;

/// The resolution of a path.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Trace {
    /// The resolved path, without symbolic links. Components that do not exist are kept.
    pub(in crate::sandbox) end: PathBuf,
    /// The directories of the symbolic links on the way.
    pub(in crate::sandbox) links: Vec<PathBuf>,
}

/// Resolves a path. A relative path begins at the working directory.
pub(in crate::sandbox) fn trace(path: &Path) -> Trace {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut trace = Trace {
        end: PathBuf::from("/"),
        links: Vec::new(),
    };
    let mut rest = parts(&path);
    while let Some(part) = rest.pop() {
        if part == ".." {
            trace.end.pop();
            continue;
        }
        let next = trace.end.join(&part);
        match fs::read_link(&next) {
            Ok(target) if trace.links.len() < MAX_LINKS => {
                trace.links.push(trace.end.clone());
                if target.is_absolute() {
                    trace.end = PathBuf::from("/");
                }
                rest.extend(parts(&target));
            }
            _ => trace.end = next,
        }
    }
    trace
}

/// Returns the components of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_and_their_directories_noted() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("mount/..2026")).unwrap();
        fs::write(root.join("mount/..2026/pin"), "").unwrap();
        symlink("..2026", root.join("mount/..data")).unwrap();
        symlink("..data/pin", root.join("mount/pin")).unwrap();
        symlink(root.join("mount"), root.join("absolute")).unwrap();
        let traced = trace(&root.join("absolute/../absolute/./pin"));
        assert_eq!(traced.end, root.join("mount/..2026/pin"));
        let mount = root.join("mount");
        assert_eq!(
            traced.links,
            [root.clone(), root.clone(), mount.clone(), mount]
        );
    }

    #[test]
    fn missing_files_and_circular_links_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        assert_eq!(trace(&root.join("no/such")).end, root.join("no/such"));
        symlink("circle", root.join("circle")).unwrap();
        assert_eq!(trace(&root.join("circle")).end, root.join("circle"));
    }
}
