//! Which paths a sandboxed library may have wanted to write.
//!
//! The kernel does not tell the process which path it denied, and libraries seldom do. What can be known: the paths that the
//! configuration gives to the library, in its environment, its parameters, and the text files that these name. Those that this user may
//! write to, but the sandbox or a read-only mount forbids, are the likely reason for a failed opening.
//!
//! # Limits
//! It cannot find paths that are fixed in the library, or are in binary or in secret configuration files, or that `$HOME` and `TMPDIR`
//! imply. A path that it reports need not be the reason: a library may only read it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::links::trace;

/// Longer files are not configurations of a library.
const MAX_FILE: u64 = 64 * 1024;

/// More paths are a list of something else.
const MAX_PATHS: usize = 256;

/// A path that the configuration of a library has, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedPath {
    /// The path.
    pub path: PathBuf,
    /// Where it is named, such as `environment.SOFTHSM2_CONF`, or the file that names it.
    pub named_by: String,
}

/// What forbids writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The sandbox: `writable` of the `[[hsm]]`.
    Sandbox,
    /// A file system that is mounted read-only for this process: `ReadWritePaths=` of the unit, or the mount's options.
    ReadOnlyMount,
}

/// A path that the library cannot write although its user could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The path, or its directory if it does not exist yet.
    pub path: PathBuf,
    /// Where it is named.
    pub named_by: String,
    /// What forbids it.
    pub obstacle: Obstacle,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (path, named_by) = (self.path.display(), &self.named_by);
        write!(f, "{path} (named by {named_by}) cannot be written: ")?;
        match self.obstacle {
            Obstacle::Sandbox => {
                write!(
                    f,
                    "if the library needs that, add it to writable of this [[hsm]]"
                )
            }
            Obstacle::ReadOnlyMount => write!(
                f,
                "it is on a read-only mount; if the library needs that, add it to ReadWritePaths= of the systemd unit, \
                 or mount it read-write"
            ),
        }
    }
}

/// Finds the absolute paths in the values, and in the text files that these name. `values` are pairs of a setting's name and its value:
/// the environment and the parameters of a library. Values themselves are never reported: only what exists as a path.
pub fn named_paths<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<NamedPath> {
    let mut found = BTreeSet::new();
    for (name, value) in values {
        for path in paths_in(value) {
            for inner in text_of(&path).iter().flat_map(|text| paths_in(text)) {
                found.insert(NamedPath {
                    path: inner,
                    named_by: path.display().to_string(),
                });
            }
            let named_by = name.to_owned();
            found.insert(NamedPath { path, named_by });
        }
    }
    found.into_iter().take(MAX_PATHS).collect()
}

/// Returns those of the paths that the process's user may write to, but the process may not. `writable` is the list of the sandbox.
/// The result does not depend on whether the caller is sandboxed itself. For root it is less exact: root may write everything.
pub fn denied_paths(named: &[NamedPath], writable: &[PathBuf]) -> Vec<Denied> {
    let writable: Vec<PathBuf> = writable.iter().map(|path| trace(path).end).collect();
    let mut denied: Vec<Denied> = Vec::new();
    for named in named {
        if let Some((path, obstacle)) = obstacle(&named.path, &writable)
            && denied.iter().all(|other| other.path != path)
        {
            let named_by = named.named_by.clone();
            denied.push(Denied {
                path,
                named_by,
                obstacle,
            });
        }
    }
    denied
}

fn obstacle(path: &Path, writable: &[PathBuf]) -> Option<(PathBuf, Obstacle)> {
    let end = trace(path).end;
    let existing = match end.symlink_metadata() {
        Ok(_) if is_program(&end) => return None,
        Ok(_) => end,
        // The library would create it.
        Err(_) => end.parent().filter(|parent| parent.is_dir())?.to_owned(),
    };
    // The root directory: no library writes there.
    existing.parent()?;
    let is_allowed = writable.iter().any(|allowed| existing.starts_with(allowed));
    match access(&existing, Access::WRITE_OK) {
        Ok(()) if !is_allowed => Some((existing, Obstacle::Sandbox)),
        Err(Errno::ROFS) => Some((existing, Obstacle::ReadOnlyMount)),
        _ => None,
    }
}

/// Libraries and programs are never written.
fn is_program(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_library = name.ends_with(".so") || name.contains(".so.");
    let system = ["/proc", "/sys", "/bin", "/sbin", "/usr/bin", "/usr/sbin"];
    is_library || system.iter().any(|directory| path.starts_with(directory))
}

/// Absolute paths: `/…` at the beginning or behind a character that ends a word in some configuration format.
fn paths_in(text: &str) -> Vec<PathBuf> {
    let is_end = |c: char| c.is_whitespace() || "=:;,\"'(){}[]<>|".contains(c);
    let words = text.split(is_end);
    let paths = words.filter(|word| word.len() > 1 && word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

/// The content of a small text file.
fn text_of(path: &Path) -> Option<String> {
    let is_regular = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let file = is_regular.then(|| fs::File::open(path).ok())??;
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_directory_of_softhsm_is_found() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (tokens, file) = (root.join("tokens"), root.join("softhsm2.conf"));
        fs::create_dir(&tokens).unwrap();
        let content = format!("directories.tokendir = {}\n# x\n", tokens.display());
        fs::write(&file, content).unwrap();
        let value = file.to_str().unwrap();
        let named = named_paths([("environment.SOFTHSM2_CONF", value)]);
        let sandboxed = denied_paths(&named, std::slice::from_ref(&file));
        let expected = Denied {
            path: tokens.clone(),
            named_by: value.to_owned(),
            obstacle: Obstacle::Sandbox,
        };
        assert_eq!(sandboxed, [expected]);
        assert_eq!(denied_paths(&named, &[root]), []);
    }

    #[test]
    fn what_is_missing_is_looked_for_in_its_directory() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let log = root.join("library.log");
        let value = format!("level=3 file='{}'", log.display());
        let named = named_paths([("parameters", value.as_str())]);
        let denied = denied_paths(&named, &[]);
        assert_eq!(denied.first().unwrap().path, root);
        let lost = named_paths([("parameters", "/no/such/file")]);
        assert_eq!(denied_paths(&lost, &[]), []);
    }

    #[test]
    fn libraries_programs_and_secrets_are_not_reported() {
        let root = tempfile::tempdir().unwrap();
        let library = root.path().join("lib.so.2");
        fs::write(&library, "").unwrap();
        let values = [
            ("a", library.to_str().unwrap()),
            ("b", "/proc/self"),
            ("c", "/"),
            ("d", "pa/ssword"),
            ("e", "/+secret+in+base64"),
        ];
        let denied = denied_paths(&named_paths(values), &[]);
        assert_eq!(denied, []);
    }
}
