//! Finds paths that a library may need but that the sandbox denies.
//!
//! The kernel does not report which path it denied, and libraries seldom do. Two sources of paths are known: the configuration of the library
//! (its environment, its parameters, and the text files that these name), and texts in the library's own file. If the user may use such a
//! path, but the sandbox or a read-only mount forbids it, it is a likely reason for a failed opening.
//!
//! # Limits
//! It cannot find paths that a library composes at run time, paths in binary or secret configuration files, or paths that follow from `$HOME`
//! and `TMPDIR`. A reported path need not be the reason: the library may only read it.

pub(super) mod named_paths;

use std::fmt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::files::HARMLESS;
use super::files::links::trace;
use super::files::read_rules::ReadRules;
use named_paths::{NamedPath, Source, is_text};

/// The reason why a path cannot be used, and the setting that permits its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The sandbox forbids writing: `writable` of the `[[hsm]]`.
    Sandbox,
    /// The sandbox forbids reading, because a secret file is in the same directory: `environment` of the `[[hsm]]`, or a different directory.
    Hidden,
    /// The file system is mounted read-only for this process: `ReadWritePaths=` of the unit, or the mount's options.
    ReadOnlyMount,
}

/// A path that the library cannot use although its user could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The path, or its directory if it does not exist yet.
    pub path: PathBuf,
    /// Where the path was found.
    pub named_by: Source,
    /// The reason why the path cannot be used.
    pub obstacle: Obstacle,
}

impl Denied {
    /// Returns whether the path is an unlikely reason: a text file with paths is a configuration file, which libraries only read.
    pub fn is_unlikely(&self) -> bool {
        self.obstacle != Obstacle::Hidden && is_text(&self.path)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, named_by) = (self.path.display(), &self.named_by);
        write!(f, "{path} (named by {named_by}) ")?;
        f.write_str(match self.obstacle {
            Obstacle::Sandbox => {
                "cannot be written: if the library needs that, add it to writable of this [[hsm]]"
            }
            Obstacle::Hidden => {
                "cannot be read, because it is in a directory with a secret file of the configuration: if the library needs it, move \
                 it to a different directory, or name it in environment of this [[hsm]]"
            }
            Obstacle::ReadOnlyMount => {
                "cannot be written: it is on a read-only mount; if the library needs that, add it to ReadWritePaths= of the systemd \
                 unit, or mount it read-write"
            }
        })
    }
}

/// Returns those of the paths that the user may use, but the sandboxed process may not; likely reasons first. `writable` and `reads` are those of
/// the sandbox. The result is the same whether the caller is sandboxed or not. It is less exact for root, which may write everything.
pub fn denied_paths(named: &[NamedPath], writable: &[PathBuf], reads: &ReadRules) -> Vec<Denied> {
    let writable: Vec<PathBuf> = writable.iter().map(|path| trace(path).end).collect();
    let mut denied: Vec<Denied> = Vec::new();
    for named in named {
        if let Some((path, obstacle)) = obstacle(&named.path, &writable, reads)
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
    denied.sort_by_cached_key(Denied::is_unlikely);
    denied
}

fn obstacle(path: &Path, writable: &[PathBuf], reads: &ReadRules) -> Option<(PathBuf, Obstacle)> {
    let end = trace(path).end;
    let existing = match end.symlink_metadata() {
        // Connecting to a socket is not restricted.
        Ok(metadata) if metadata.file_type().is_socket() => return None,
        Ok(_) if is_program(&end) => return None,
        Ok(_) => end,
        // The library may create the file in its directory.
        Err(_) => end.parent().filter(|parent| parent.is_dir())?.to_owned(),
    };
    // Libraries do not write to the root directory.
    existing.parent()?;
    if access(&existing, Access::READ_OK).is_ok() && !reads.allows(&existing) {
        return Some((existing, Obstacle::Hidden));
    }
    let is_allowed = writable.iter().any(|allowed| existing.starts_with(allowed));
    match access(&existing, Access::WRITE_OK) {
        Ok(()) if !is_allowed => Some((existing, Obstacle::Sandbox)),
        Err(Errno::ROFS) => Some((existing, Obstacle::ReadOnlyMount)),
        _ => None,
    }
}

/// Returns whether the path is ignored: libraries and programs are never written, and the harmless devices are always writable.
fn is_program(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_library = name.ends_with(".so") || name.contains(".so.");
    let system = ["/proc", "/sys", "/bin", "/sbin", "/usr/bin", "/usr/sbin"];
    is_library
        || system.iter().any(|directory| path.starts_with(directory))
        || HARMLESS.iter().any(|device| path == Path::new(device))
}

#[cfg(test)]
mod tests {
    use super::named_paths::{named_paths, paths_in_library};
    use super::*;
    use std::fs;

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
        let sandboxed = denied_paths(&named, &[], &ReadRules::default());
        let denied = |path: &PathBuf, named_by| Denied {
            path: path.clone(),
            named_by,
            obstacle: Obstacle::Sandbox,
        };
        let setting = Source::Setting("environment.SOFTHSM2_CONF".to_owned());
        let expected = [
            denied(&tokens, Source::File(file.clone())),
            denied(&file, setting),
        ];
        assert_eq!(sandboxed, expected, "the configuration file comes last");
        assert_eq!(denied_paths(&named, &[root], &ReadRules::default()), []);
    }

    #[test]
    fn paths_in_the_file_of_a_library_are_found() {
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        let root = root.path().canonicalize().unwrap();
        let (data, tokens) = (root.join("data"), root.join("tokens"));
        let (library, file) = (root.join("libhsm.so"), root.join("hsm.conf"));
        fs::create_dir(&data).unwrap();
        fs::create_dir(&tokens).unwrap();
        fs::write(&file, format!("tokens={}", tokens.display())).unwrap();
        let texts = [
            &data,
            &file,
            &PathBuf::from("/dev/null"),
            &PathBuf::from("/etc/passwd"),
        ];
        let texts = texts.map(|path| path.to_str().unwrap().to_owned());
        fs::write(&library, format!("\u{7f}ELF\0{}\0", texts.join("\0"))).unwrap();
        let named = paths_in_library(&library);
        let denied = denied_paths(&named, &[], &ReadRules::default());
        let paths: Vec<_> = denied.iter().map(|denied| &denied.path).collect();
        assert_eq!(paths, [&data, &tokens, &file]);
    }

    #[test]
    fn a_hidden_file_is_reported_as_unreadable() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().canonicalize().unwrap().join("hsm.conf");
        fs::write(&file, "").unwrap();
        let named = named_paths([("environment.CONF", file.to_str().unwrap())]);
        let mut reads = ReadRules::default();
        reads.restrict();
        let denied = denied_paths(&named, &[], &reads);
        assert_eq!(denied.first().unwrap().obstacle, Obstacle::Hidden);
        let text = denied.first().unwrap().to_string();
        assert!(text.contains("cannot be read") && text.contains("environment of this [[hsm]]"));
    }

    #[test]
    fn a_missing_file_is_reported_by_its_directory() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let log = root.join("library.log");
        let value = format!("level=3 file='{}'", log.display());
        let named = named_paths([("parameters", value.as_str())]);
        let denied = denied_paths(&named, &[], &ReadRules::default());
        assert_eq!(denied.first().unwrap().path, root);
        let lost = named_paths([("parameters", "/no/such/file")]);
        assert_eq!(denied_paths(&lost, &[], &ReadRules::default()), []);
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
        let denied = denied_paths(&named_paths(values), &[], &ReadRules::default());
        assert_eq!(denied, []);
    }
}
