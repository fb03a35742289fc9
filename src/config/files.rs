//! Files, environment variables and systemd credentials that the configuration names.

pub(super) mod exposure;

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::secret::{Secret, text};
use crate::sigv4::NewCredential;
use crate::toml_file::Section;

/// The byte order mark (BOM) that some editors write at the beginning of a text file.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Returns the absolute path, for another process, which may have a different working directory.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Reads a file that contains no secret. It is an error if the file cannot be read, or if every user of the machine can write it.
pub(super) fn public(section: &Section<'_>, key: &str, path: &str) -> Option<Zeroizing<Vec<u8>>> {
    let path = section.resolve(path);
    let read = section.read(&path);
    let contents = read
        .map_err(|error| section.error(key, unreadable(&path, &error)))
        .ok()?;
    exposure::check_file(section, key, &path);
    if has_bom(&contents) {
        let path = path.display();
        let message =
            format!("{path} contains a byte order mark (BOM); save the file as UTF-8 without one");
        section.error(key, message);
        return None;
    }
    Some(contents)
}

/// Reads a file that contains a secret: as [`public`], but it is also an error if every user of the machine can read it.
pub(super) fn private(section: &Section<'_>, key: &str, path: &str) -> Option<Zeroizing<Vec<u8>>> {
    let contents = public(section, key, path)?;
    exposure::check_secret(section, key, &section.resolve(path));
    Some(contents)
}

/// Returns the error message for a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

/// Searches the beginning, and also the middle: in PEM files that were concatenated, a certificate after a BOM would be ignored.
fn has_bom(contents: &[u8]) -> bool {
    let before_pem = [BOM, b"-----BEGIN"].concat();
    let mut windows = contents.windows(before_pem.len());
    contents.starts_with(BOM) || windows.any(|window| window == before_pem)
}

/// Reads a secret: `{ file = … }`, `{ env = … }`, `{ credential = … }` or, for tests, `{ danger_inline = … }`.
pub(super) fn secret(parent: &Section<'_>, key: &str) -> Option<Secret> {
    let (source, value) = source(parent, key)?;
    if parent.withholds_secrets() {
        return random(parent, key);
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
                "the secret is in the configuration itself; for tests only",
            );
            exposure::check_inline_secret(parent, key);
            Zeroizing::new(value.as_bytes().to_vec())
        }
    };
    let parsed = text::parse(&text);
    let parsed = parsed.map_err(|problem| parent.error(key, problem)).ok()?;
    if let Some(warning) = text::warning(&text) {
        parent.warn(key, warning);
    }
    Some(parsed)
}

/// Returns the only key in the table of a secret (`file`, `env`, `credential` or `danger_inline`), with its value.
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
        parent.error(key, "must name exactly one of file, env, credential");
        return None;
    };
    Some((source, value))
}

/// Returns a random secret, in place of one that must not be read.
fn random(section: &Section<'_>, key: &str) -> Option<Secret> {
    let credential = NewCredential::generate();
    credential
        .map_err(|error| section.error(key, error.to_string()))
        .ok()
        .map(|credential| credential.secret)
}

fn from_environment(section: &Section<'_>, key: &str, name: &str) -> Option<Zeroizing<Vec<u8>>> {
    match std::env::var(name) {
        Ok(value) => Some(Zeroizing::new(value.into_bytes())),
        Err(_) => {
            section.error(key, unset(name));
            None
        }
    }
}

/// Returns the error message for an environment variable that does not exist.
pub(super) fn unset(name: &str) -> String {
    format!("the environment variable {name} is not set, or is not UTF-8 text")
}

/// Returns the file of a systemd credential, which is in a directory of the service.
pub(super) fn credential(section: &Section<'_>, key: &str, name: &str) -> Option<PathBuf> {
    let path = credential_path(name);
    if path.is_none() {
        let hint = "needs systemd's LoadCredential= (CREDENTIALS_DIRECTORY is not set)";
        section.error(key, format!("credential {name:?} {hint}"));
    }
    path
}

/// As [`credential`], without an error message; `None` outside of a systemd service.
pub(super) fn credential_path(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    Some(PathBuf::from(directory).join(name))
}
