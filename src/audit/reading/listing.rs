//! Finds the files of an audit trail, and sorts them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::source::{Source, is_stream, name_of_original};
use crate::audit::chain::Line;

/// The files of an audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files to read, in the order of their lines.
    pub files: Vec<PathBuf>,
    /// Files that should contain lines according to their names, but cannot be read here.
    pub left_out: Vec<LeftOut>,
}

/// A file that is not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The file.
    pub path: PathBuf,
    /// The reason why it is not read.
    pub why: &'static str,
}

/// Lists the files of the audit trail at `path`, including files that logrotate renamed or compressed. A compressed copy is omitted while its
/// original exists. A file is in at most one of the two lists.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn list_audit_trail(path: &Path) -> io::Result<Listing> {
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    for entry in entries(path)? {
        let class = match entry.is_file {
            true => classify(&entry.path, entry.seq_by_name()),
            false => Ok(not_a_file(entry.seq_by_name())),
        };
        match class {
            // The file was renamed or compressed after the directory was read.
            Err(_) if !entry.path.exists() => {}
            Err(error) => return Err(error),
            Ok(FileClass::Lines(seq)) => files.push((seq, entry.path)),
            Ok(FileClass::LeftOut(why)) => left_out.push(LeftOut {
                path: entry.path,
                why,
            }),
            Ok(FileClass::Foreign) => {}
        }
    }
    files.sort();
    left_out.sort();
    let files = files.into_iter().map(|(_, path)| path).collect();
    Ok(Listing { files, left_out })
}

/// Returns the files of the audit trail at `path` that can be read, in the order of their lines.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn trail_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    list_audit_trail(path).map(|listing| listing.files)
}

/// The relation of a file to an audit trail.
enum FileClass {
    /// It contains lines. The first one has this number.
    Lines(u64),
    /// It should contain lines, but cannot be read for this reason.
    LeftOut(&'static str),
    /// It does not belong to the audit trail, although its name has the same beginning.
    Foreign,
}

/// Classifies a file by its content. `by_name` is the number of the first line according to its name.
fn classify(path: &Path, by_name: Option<u64>) -> io::Result<FileClass> {
    Ok(match (beginning(path)?, by_name) {
        (Beginning::Line(seq), _) => FileClass::Lines(seq),
        // The current file is empty until its first line is written.
        (Beginning::Nothing, None | Some(u64::MAX)) => FileClass::Foreign,
        (Beginning::Nothing, Some(_)) => FileClass::LeftOut(EMPTY),
        // A file of the audit trail whose first line was changed still belongs to the audit trail.
        (Beginning::Other { .. }, Some(seq)) => FileClass::Lines(seq),
        (Beginning::Other { is_text: true }, None) => FileClass::Foreign,
        (Beginning::Other { is_text: false }, None) => FileClass::LeftOut(
            "it is neither text nor compressed with gzip or Zstandard; unpack it, and read all files of the audit trail",
        ),
    })
}

const EMPTY: &str = "it is empty, although its name is that of a file with lines";

fn not_a_file(by_name: Option<u64>) -> FileClass {
    match by_name {
        Some(_) => FileClass::LeftOut(
            "it is not a regular file, although its name is that of a file with lines",
        ),
        None => FileClass::Foreign,
    }
}

/// The beginning of a file, after decompression.
enum Beginning {
    /// A line with this number.
    Line(u64),
    Nothing,
    Other {
        is_text: bool,
    },
}

fn beginning(path: &Path) -> io::Result<Beginning> {
    let mut line = Vec::new();
    if !Source::open(path)?.read_line(&mut line)? {
        return Ok(Beginning::Nothing);
    }
    let is_text = |byte: &u8| matches!(byte, b'\n' | b' '..=b'~');
    let whole = line.strip_suffix(b"\n").unwrap_or_default();
    Ok(match Line::read(whole) {
        Some(line) => Beginning::Line(line.seq),
        None => Beginning::Other {
            is_text: line.iter().all(is_text),
        },
    })
}

/// Sorts these files by their lines. Streams, and files that do not begin with a line of an audit trail, follow in the given order. Files that a
/// shell pattern may include are omitted: the lock file, the position file, files with bytes that a crash left, and compressed copies
/// whose original is in the list.
///
/// # Errors
/// When a file cannot be read; the error names it.
pub fn in_order(files: &[PathBuf]) -> io::Result<Listing> {
    let is_copy = |path: &Path| name_of_original(path).is_some_and(|name| files.contains(&name));
    let (mut with_seq, mut left_out) = (Vec::new(), Vec::new());
    for path in files {
        if is_auxiliary(&name_of(path)) || is_copy(path) {
            continue;
        }
        let begin = match is_stream(path)? {
            true => None,
            false => Some(beginning(path)?),
        };
        match begin {
            Some(Beginning::Nothing) if is_rotated(&name_of(path)) => left_out.push(LeftOut {
                path: path.clone(),
                why: EMPTY,
            }),
            Some(Beginning::Line(seq)) => with_seq.push((seq, path.clone())),
            _ => with_seq.push((u64::MAX, path.clone())),
        }
    }
    with_seq.sort_by_key(|(seq, _)| *seq);
    let files = with_seq.into_iter().map(|(_, path)| path).collect();
    Ok(Listing { files, left_out })
}

/// Returns the number of a file's first line. None when the file does not begin with a line of an audit trail.
pub(in crate::audit) fn first_seq(path: &Path) -> io::Result<Option<u64>> {
    Ok(match beginning(path)? {
        Beginning::Line(seq) => Some(seq),
        Beginning::Nothing | Beginning::Other { .. } => None,
    })
}

/// A file that may belong to an audit trail, according to its name.
pub(in crate::audit) struct Candidate {
    pub path: PathBuf,
    /// The part of its name after the name of the audit trail.
    suffix: String,
    is_file: bool,
}

/// Returns the regular files in the audit trail's directory that may belong to it.
pub(in crate::audit) fn candidates(path: &Path) -> io::Result<Vec<Candidate>> {
    let mut found = entries(path)?;
    found.retain(|entry| entry.is_file);
    Ok(found)
}

/// Returns all entries of the audit trail's directory that may belong to it.
fn entries(path: &Path) -> io::Result<Vec<Candidate>> {
    let name = name_of(path);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory_of(path))? {
        let entry = entry?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let Some(suffix) = file_name.strip_prefix(&name) else {
            continue;
        };
        let may_be = suffix.is_empty() || suffix.starts_with(['.', '-']);
        let path = entry.path();
        let is_copy = name_of_original(&path).is_some_and(|original| original.exists());
        if may_be && !is_auxiliary(&file_name) && !is_copy {
            found.push(Candidate {
                path,
                suffix: suffix.to_owned(),
                is_file: entry.file_type()?.is_file(),
            });
        }
    }
    Ok(found)
}

impl Candidate {
    /// Returns the number of the first line according to the name. None when the name is not one that the proxy gives.
    fn seq_by_name(&self) -> Option<u64> {
        match without_compression(&self.suffix) {
            "" => Some(u64::MAX),
            suffix => suffix.strip_prefix('.').and_then(seq_of_name),
        }
    }
}

fn without_compression(name: &str) -> &str {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.strip_suffix(".zst").unwrap_or(name)
}

/// Parses the number in the name of a rotated file.
fn seq_of_name(digits: &str) -> Option<u64> {
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// Returns whether the name is that of a file that the proxy rotated.
fn is_rotated(name: &str) -> bool {
    let end = without_compression(name).rsplit_once('.');
    end.is_some_and(|(_, digits)| seq_of_name(digits).is_some())
}

/// Returns the directory of a file.
pub(in crate::audit) fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Returns whether the name is that of a file which is beside an audit trail but is not part of it.
fn is_auxiliary(name: &str) -> bool {
    name.ends_with(".lock") || name.ends_with(".position") || name.contains(".torn-")
}
