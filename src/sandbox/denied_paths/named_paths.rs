//! Finds paths in the configuration of a library and in the library's own file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The part of a text file that is searched, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The part of a library's file that is searched, in bytes.
const MAX_LIBRARY: u64 = 128 * 1024 * 1024;

/// The most paths that are reported.
const MAX_PATHS: usize = 256;

/// Where a path was found, in the order of likelihood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// In a setting, such as `environment.SOFTHSM2_CONF`.
    Setting(String),
    /// In a text file.
    File(PathBuf),
    /// In the library's own file.
    Library(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(name) => f.write_str(name),
            Self::File(path) | Self::Library(path) => path.display().fmt(f),
        }
    }
}

/// A path, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPath {
    /// The path.
    pub path: PathBuf,
    /// Where it was found.
    pub named_by: Source,
}

/// Finds absolute paths in the values, and in the text files that they name. `values` are pairs of a setting's name and its value: the
/// environment and the parameters of a library. Only absolute paths are returned, never whole values.
pub fn named_paths<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<NamedPath> {
    let mut found = BTreeMap::new();
    for (name, value) in values {
        for path in paths_in(value) {
            add(&mut found, path, Source::Setting(name.to_owned()));
        }
    }
    listed(found)
}

/// Finds absolute paths in the file of a library: existing paths in directories for data, such as `/var` and `/dev`, and the paths in text
/// files that the library names.
pub fn paths_in_library(library: &Path) -> Vec<NamedPath> {
    let mut found = BTreeMap::new();
    for path in texts_of(library).iter().flat_map(|text| paths_in(text)) {
        let is_data = is_for_data(&path) && path.exists();
        if is_data || is_configuration(&path) {
            add(&mut found, path, Source::Library(library.to_owned()));
        }
    }
    let mut found = listed(found);
    found.retain(|named| is_for_data(&named.path) || matches!(named.named_by, Source::File(_)));
    found
}

/// Adds a path. If it is a text file, also adds the paths in it. Keeps the most likely source of each path.
fn add(found: &mut BTreeMap<PathBuf, Source>, path: PathBuf, named_by: Source) {
    for inner in text_of(&path).iter().flat_map(|text| paths_in(text)) {
        keep(found, inner, Source::File(path.clone()));
    }
    keep(found, path, named_by);
}

fn keep(found: &mut BTreeMap<PathBuf, Source>, path: PathBuf, named_by: Source) {
    let known = found.entry(path).or_insert_with(|| named_by.clone());
    if named_by < *known {
        *known = named_by;
    }
}

fn listed(found: BTreeMap<PathBuf, Source>) -> Vec<NamedPath> {
    let named = found.into_iter().take(MAX_PATHS);
    named
        .map(|(path, named_by)| NamedPath { path, named_by })
        .collect()
}

/// Returns whether it is a text file with paths whose name is that of a configuration file.
fn is_configuration(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parts = ["conf", "cfg", ".ini", ".json", ".toml", ".yaml"];
    parts.iter().any(|part| name.contains(part)) && is_text(path)
}

/// Returns whether the path is in a directory for data or devices, not for programs or configuration.
fn is_for_data(path: &Path) -> bool {
    let places = [
        "/var", "/run", "/tmp", "/opt", "/srv", "/home", "/root", "/dev",
    ];
    let is_below = |place: &&str| path.starts_with(place) && path != Path::new(place);
    let terminals = ["/dev/tty", "/dev/console"];
    places.iter().any(is_below) && !terminals.iter().any(|tty| path == Path::new(tty))
}

/// Returns absolute paths: words that begin with `/`, separated by the characters that end a word in common configuration formats.
fn paths_in(text: &str) -> Vec<PathBuf> {
    let is_end = |c: char| c.is_whitespace() || "=:;,\"'(){}[]<>|".contains(c);
    let words = text.split(is_end);
    let paths = words.filter(|word| word.len() > 1 && word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

/// Returns the beginning of a text file.
fn text_of(path: &Path) -> Option<String> {
    let is_regular = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let file = is_regular.then(|| fs::File::open(path).ok())??;
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Returns whether it is a text file with paths.
pub(in crate::sandbox) fn is_text(path: &Path) -> bool {
    text_of(path).is_some_and(|text| !paths_in(&text).is_empty())
}

/// Returns the texts in the file of a library that begin with `/`.
fn texts_of(library: &Path) -> Vec<String> {
    let mut bytes = Vec::new();
    let is_read = fs::File::open(library)
        .is_ok_and(|file| file.take(MAX_LIBRARY).read_to_end(&mut bytes).is_ok());
    if !is_read {
        return Vec::new();
    }
    let is_printable = |byte: &u8| (0x20..0x7f).contains(byte);
    let texts = bytes.split(|byte| !is_printable(byte));
    let texts = texts.filter(|text| text.len() > 3 && text.starts_with(b"/"));
    texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}
