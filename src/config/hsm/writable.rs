//! `writable` of `[[hsm]]`: the files and directories that the library may write.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::files;
use crate::hsm::HsmSettings;
use crate::read_file;
use crate::toml_file::Section;

const KEY: &str = "writable";

/// Reads all paths; `None` if one has an error. Warns about a path that does not exist, because it has no effect.
pub(super) fn paths(section: &Section<'_>) -> Option<Vec<PathBuf>> {
    let Some(texts) = section.strings(KEY) else {
        let is_absent = !section.has(KEY);
        return is_absent.then(Vec::new);
    };
    if texts.contains(&"") {
        section.error(KEY, "has an empty path");
        return None;
    }
    let paths: Vec<PathBuf> = texts
        .into_iter()
        .map(|text| files::absolute(&section.resolve(text)))
        .collect();
    for path in &paths {
        if let Err(error) = read_file::metadata(path) {
            let path = path.display();
            section.warn(KEY, format!("cannot find {path}: {error}; it has no effect until it exists and the worker is restarted"));
        }
    }
    Some(paths)
}

/// Warns about paths that allow a library to write files which the proxy reads. Must be called after all files were named.
pub(in crate::config) fn check(root: &Section<'_>, hsms: &[HsmSettings]) {
    let own: Vec<PathBuf> = root
        .named_files()
        .iter()
        .map(|path| canonical(path))
        .collect();
    for (section, hsm) in root.sections("hsm").iter().zip(hsms) {
        for path in &hsm.writable {
            if let Some(problem) = problem(path, &own) {
                section.warn(KEY, problem);
            }
        }
    }
}

fn problem(path: &Path, own: &[PathBuf]) -> Option<String> {
    let writable = canonical(path);
    if writable == Path::new("/") {
        return Some("with / the library can write every file".to_owned());
    }
    let reached = own.iter().find(|file| file.starts_with(&writable))?;
    let (path, reached) = (path.display(), reached.display());
    Some(format!(
        "with {path} the library can change {reached}, which the proxy reads; name a directory that only the library uses"
    ))
}

/// Returns the path without symbolic links.
fn canonical(path: &Path) -> PathBuf {
    let existing = read_file::with_timeout(path, |path| fs::canonicalize(path));
    existing.unwrap_or_else(|_| files::absolute(path))
}
