//! Files, environment variables and systemd credentials that the configuration names.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::exposure;
use super::section::Section;
use crate::secret::{Secret, text};
use crate::sigv4::NewCredential;

/// The byte order mark (BOM) that some editors put before a text.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The path for another process, which may have another working directory.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Reads a file that does not hold a secret; an error of `key` when it cannot be read, or when everybody can change it.
pub(super) fn public(section: &Section<'_>, key: &str, path: &str) -> Option<Zeroizing<Vec<u8>>> {
    let path = section.resolve(path);
    let read = section.read(&path);
    let contents = read
        .map_err(|error| section.fault(key, unreadable(&path, &error)))
        .ok()?;
    exposure::check_file(section, key, &path);
    if has_bom(&contents) {
        let path = path.display();
        let what = format!("{path} has a byte order mark (BOM) in it");
        section.fault(key, format!("{what}; save it as UTF-8 without one"));
        return None;
    }
    Some(contents)
}

/// Reads a file that holds a secret: as [`public`], and an error when everybody can read it.
pub(super) fn private(section: &Section<'_>, key: &str, path: &str) -> Option<Zeroizing<Vec<u8>>> {
    let contents = public(section, key, path)?;
    exposure::check_secret(section, key, &section.resolve(path));
    Some(contents)
}

/// What is wrong with a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

/// At the beginning, or where PEM files that each have one were put together: a certificate behind it would not be seen.
fn has_bom(contents: &[u8]) -> bool {
    let before_pem = [BOM, b"-----BEGIN"].concat();
    let mut windows = contents.windows(before_pem.len());
    contents.starts_with(BOM) || windows.any(|window| window == before_pem)
}

/// A secret: `{ file = … }`, `{ env = … }`, `{ credential = … }` or, for tests, `{ danger_inline = … }`.
pub(super) fn secret(parent: &Section<'_>, key: &str) -> Option<Secret> {
    let (source, value) = source(parent, key)?;
    if parent.withholds_secrets() {
        return made_up(parent, key);
    }
    let text = match source {
        "file" => private(parent, key, value)?,
        "env" => from_environment(parent, key, value)?,
        "credential" => {
            let path = credential(parent, key, value)?;
            private(parent, key, &path.to_string_lossy())?
        }
        _ => {
            parent.warn(
                key,
                "the secret stands in the configuration itself; for tests only",
            );
            exposure::check_inline_secret(parent, key);
            Zeroizing::new(value.as_bytes().to_vec())
        }
    };
    let parsed = text::parse(&text);
    let parsed = parsed.map_err(|problem| parent.fault(key, problem)).ok()?;
    if let Some(warning) = text::warning(&text) {
        parent.warn(key, warning);
    }
    Some(parsed)
}

/// The only source that a secret's table names (`file`, `env`, `credential` or `danger_inline`), with what it says of it.
pub(super) fn source<'a>(parent: &Section<'a>, key: &str) -> Option<(&'static str, &'a str)> {
    let Some(section) = parent.section(key) else {
        return parent.missing(key, "{ file = \"/etc/xks-proxy/name.secret\" }");
    };
    let sources = ["file", "env", "credential", "danger_inline"];
    let given: Vec<(&'static str, &'a str)> = sources
        .into_iter()
        .filter_map(|source| Some((source, section.string(source)?)))
        .collect();
    section.finish();
    let [(source, value)] = *given.as_slice() else {
        parent.fault(key, "must name exactly one of file, env, credential");
        return None;
    };
    Some((source, value))
}

/// In the place of a secret that is not to be read: nobody knows it.
fn made_up(section: &Section<'_>, key: &str) -> Option<Secret> {
    let made = NewCredential::generate();
    made.map_err(|error| section.fault(key, error.to_string()))
        .ok()
        .map(|made| made.secret)
}

fn from_environment(section: &Section<'_>, key: &str, name: &str) -> Option<Zeroizing<Vec<u8>>> {
    match std::env::var(name) {
        Ok(value) => Some(Zeroizing::new(value.into_bytes())),
        Err(_) => {
            section.fault(key, unset(name));
            None
        }
    }
}

/// What is wrong with an environment variable that does not exist.
pub(super) fn unset(name: &str) -> String {
    format!("the environment variable {name} is not set (or not text)")
}

/// The file of a credential, which systemd puts into a directory of the service's own.
pub(super) fn credential(section: &Section<'_>, key: &str, name: &str) -> Option<PathBuf> {
    let path = credential_path(name);
    if path.is_none() {
        let hint = "needs systemd's LoadCredential= (CREDENTIALS_DIRECTORY is not set)";
        section.fault(key, format!("credential {name:?} {hint}"));
    }
    path
}

/// The same; none outside of a service of systemd's.
pub(super) fn credential_path(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    Some(PathBuf::from(directory).join(name))
}
