//! Reads the sources for the architecture tests: every `.rs` file below `src/`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scanner::{self, Scan};

/// A source file.
pub struct Source {
    /// The path relative to `src/`.
    pub path: PathBuf,
    /// The module directly below `src/` that the file belongs to.
    pub module: String,
    /// The tokens without comments, literals and test code; empty if the whole file is test code.
    pub tokens: Vec<String>,
    pub text: String,
}

impl Source {
    /// Returns a source file with this path and text.
    pub fn new(path: &str, text: &str) -> Self {
        let source = (PathBuf::from(path), text.to_owned(), scanner::scan(text));
        without_test_files(vec![source]).remove(0)
    }

    /// Returns the module path from the crate's root; empty for `lib.rs`.
    pub fn module_path(&self) -> Vec<String> {
        module_path(&self.path)
    }
}

/// Returns every source file, ordered by path.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    assert!(files.len() > 50, "only {} sources found", files.len());
    files.sort();
    let scans = files.into_iter().map(|(path, text)| {
        let scan = scanner::scan(&text);
        (path, text, scan)
    });
    without_test_files(scans.collect())
}

fn collect(root: &Path, directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root).unwrap().to_owned(), text));
        }
    }
}

/// Empties the tokens of files that their parents declare under `#[cfg(test)]`, and of the files below them.
fn without_test_files(scans: Vec<(PathBuf, String, Scan)>) -> Vec<Source> {
    let mut test_modules = Vec::new();
    for (path, _, scan) in &scans {
        for name in &scan.test_modules {
            let mut module = module_path(path);
            module.push(name.clone());
            test_modules.push(module);
        }
    }
    let source = |(path, text, scan): (PathBuf, String, Scan)| {
        let module = module_path(&path);
        let is_test = test_modules.iter().any(|test| module.starts_with(test));
        Source {
            module: first_name(&path),
            tokens: if is_test { Vec::new() } else { scan.tokens },
            path,
            text,
        }
    };
    scans.into_iter().map(source).collect()
}

fn first_name(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn module_path(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| name != "lib").collect()
}

#[test]
fn test_files_have_no_tokens() {
    let sources = sources();
    let tokens_of = |path: &str| sources.iter().find(|s| s.path == Path::new(path)).unwrap();
    assert!(!tokens_of("audit.rs").tokens.is_empty());
    for path in [
        "audit/tests.rs",
        "audit/tests/tampering.rs",
        "sigv4/verify/vectors.rs",
    ] {
        assert!(tokens_of(path).tokens.is_empty(), "{path}");
    }
}
