//! Files, environment variables and systemd credentials that the configuration names.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::section::Section;
use crate::secret::Secret;
use crate::sigv4::NewCredential;

/// Permission bits that let others than the owner read, write or run.
const OTHERS: u32 = 0o077;

/// A file that is no secret; a fault of `key` when it cannot be read.
pub(super) fn public(section: &Section<'_>, key: &str, path: &str) -> Option<Zeroizing<Vec<u8>>> {
    let path = section.resolve(path);
    let read = section.read(&path);
    read.map_err(|error| section.fault(key, unreadable(&path, &error)))
        .ok()
}

/// A file that is a secret: as [`public`], with a warning when others may read it.
pub(super) fn private(section: &Section<'_>, key: &str, path: &str) -> Option<Zeroizing<Vec<u8>>> {
    let contents = public(section, key, path)?;
    warn_if_exposed(section, key, &section.resolve(path));
    Some(contents)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

fn warn_if_exposed(section: &Section<'_>, key: &str, path: &Path) {
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        let path = path.display();
        section.warn(
            key,
            format!("others may use {path} (mode {mode:04o}); chmod 600 it"),
        );
    }
}

/// A secret: `{ file = … }`, `{ env = … }`, `{ credential = … }` or, for tests, `{ danger_inline = … }`.
pub(super) fn secret(parent: &Section<'_>, key: &str) -> Option<Secret> {
    let Some(section) = parent.section(key) else {
        return parent.missing(key, "{ file = \"/etc/xks-proxy/name.secret\" }");
    };
    let sources = ["file", "env", "credential", "danger_inline"];
    let given: Vec<(&str, &str)> = sources
        .into_iter()
        .filter_map(|source| Some((source, section.string(source)?)))
        .collect();
    section.finish();
    let [(source, value)] = *given.as_slice() else {
        parent.fault(key, "must name exactly one of file, env, credential");
        return None;
    };
    if parent.withholds_secrets() {
        return made_up(parent, key);
    }
    let text = match source {
        "file" => private(parent, key, value)?,
        "env" => from_environment(parent, key, value)?,
        "credential" => from_credential(parent, key, value)?,
        _ => {
            parent.warn(
                key,
                "the secret stands in the configuration itself; for tests only",
            );
            Zeroizing::new(value.as_bytes().to_vec())
        }
    };
    cleaned(parent, key, &text)
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
            section.fault(
                key,
                format!("the environment variable {name} is not set (or not text)"),
            );
            None
        }
    }
}

/// systemd puts credentials into a directory of the service's own.
fn from_credential(section: &Section<'_>, key: &str, name: &str) -> Option<Zeroizing<Vec<u8>>> {
    let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
        let hint = "needs systemd's LoadCredential= (CREDENTIALS_DIRECTORY is not set)";
        section.fault(key, format!("credential {name:?} {hint}"));
        return None;
    };
    let path = PathBuf::from(directory).join(name);
    public(section, key, &path.to_string_lossy())
}

/// The secret without the newline that editors leave behind it.
fn cleaned(section: &Section<'_>, key: &str, bytes: &[u8]) -> Option<Secret> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        section.fault(key, "the secret is not UTF-8 text");
        return None;
    };
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text.is_empty() {
        true => {
            section.fault(key, "the secret is empty");
            None
        }
        false => Some(Secret::new(text.to_owned())),
    }
}
