//! `writable` of `[[hsm]]`: what the library may write.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::files;
use crate::config::section::Section;
use crate::hsm::HsmSettings;
use crate::read_file;

const KEY: &str = "writable";

/// Every path; none when one has a fault. A path that does not exist is a warning, because it has no effect.
pub(super) fn paths(section: &Section<'_>) -> Option<Vec<PathBuf>> {
    let Some(texts) = section.strings(KEY) else {
        let is_absent = !section.has(KEY);
        return is_absent.then(Vec::new);
    };
    if texts.contains(&"") {
        section.fault(KEY, "has an empty path");
        return None;
    }
    let paths: Vec<PathBuf> = texts
        .into_iter()
        .map(|text| files::absolute(&section.resolve(text)))
        .collect();
    for path in &paths {
        if let Err(error) = read_file::look(path) {
            let path = path.display();
            section.warn(KEY, format!("cannot find {path}: {error}; it has no effect before it exists and the library is started again"));
        }
    }
    Some(paths)
}

/// Warns about paths with which a library could write what the proxy reads. Must come after everything else that names a file.
pub(in crate::config) fn check(root: &Section<'_>, hsms: &[HsmSettings]) {
    let own: Vec<PathBuf> = root.named_files().iter().map(|path| place(path)).collect();
    for (section, hsm) in root.sections("hsm").iter().zip(hsms) {
        for path in &hsm.writable {
            if let Some(problem) = problem(path, &own) {
                section.warn(KEY, problem);
            }
        }
    }
}

fn problem(path: &Path, own: &[PathBuf]) -> Option<String> {
    let found = place(path);
    if found == Path::new("/") {
        return Some("with / the library may write everywhere".to_owned());
    }
    let reached = own.iter().find(|file| file.starts_with(&found))?;
    let (path, reached) = (path.display(), reached.display());
    Some(format!(
        "with {path} the library may change {reached}, which the proxy reads; name a directory of the library's own"
    ))
}

/// The path without symbolic links.
fn place(path: &Path) -> PathBuf {
    let canonical = read_file::patiently(path, |path| fs::canonicalize(path));
    canonical.unwrap_or_else(|_| files::absolute(path))
}
