//! The files of a trail: which they are, and their order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::source::{Source, is_stream, name_of_original};
use crate::audit::chain::Line;

/// The files of a trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that are read, in the order of their lines.
    pub files: Vec<PathBuf>,
    /// Those that should hold lines by their names, and do not hold what can be read here.
    pub left_out: Vec<LeftOut>,
}

/// A file that is not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The file.
    pub path: PathBuf,
    /// Why it is not read.
    pub why: &'static str,
}

/// The files of the trail at `path` that exist: also those that logrotate has renamed or compressed. A compressed copy is left out while its
/// original exists. Each file is in one of the two lists at most.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn list_trail(path: &Path) -> io::Result<Listing> {
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    for entry in entries(path)? {
        let judged = match entry.is_file {
            true => judge(&entry.path, entry.seq_by_name()),
            false => Ok(other_than_a_file(entry.seq_by_name())),
        };
        match judged {
            // Renamed or compressed since the directory was read.
            Err(_) if !entry.path.exists() => {}
            Err(error) => return Err(error),
            Ok(Judged::Lines(seq)) => files.push((seq, entry.path)),
            Ok(Judged::LeftOut(why)) => left_out.push(LeftOut {
                path: entry.path,
                why,
            }),
            Ok(Judged::Foreign) => {}
        }
    }
    files.sort();
    left_out.sort();
    let files = files.into_iter().map(|(_, path)| path).collect();
    Ok(Listing { files, left_out })
}

/// The files of the trail at `path` that are read, in the order of their lines.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn trail_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    list_trail(path).map(|listing| listing.files)
}

/// What a file is to a trail.
enum Judged {
    /// It holds lines, the first of which has this number.
    Lines(u64),
    /// It should hold lines.
    LeftOut(&'static str),
    /// Its name begins like the trail's, and that is all.
    Foreign,
}

/// Judges a file by what it holds. `by_name` is the number of the first line that its name promises.
fn judge(path: &Path, by_name: Option<u64>) -> io::Result<Judged> {
    Ok(match (beginning(path)?, by_name) {
        (Beginning::Line(seq), _) => Judged::Lines(seq),
        // The file that is written now has no line before the first one.
        (Beginning::Nothing, None | Some(u64::MAX)) => Judged::Foreign,
        (Beginning::Nothing, Some(_)) => Judged::LeftOut(EMPTY),
        // A trail's own file does not drop out of it because its first line was changed.
        (Beginning::Other { .. }, Some(seq)) => Judged::Lines(seq),
        (Beginning::Other { is_text: true }, None) => Judged::Foreign,
        (Beginning::Other { is_text: false }, None) => Judged::LeftOut(
            "it is neither text nor compressed with gzip or Zstandard; unpack it, and read all files of the trail",
        ),
    })
}

const EMPTY: &str = "it holds nothing, and its name says that it held lines";

fn other_than_a_file(by_name: Option<u64>) -> Judged {
    match by_name {
        Some(_) => {
            Judged::LeftOut("it is not a regular file, and its name says that it held lines")
        }
        None => Judged::Foreign,
    }
}

/// How a file begins, decompressed.
enum Beginning {
    /// With the line of this number.
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

/// These files in the order of their lines; behind them, in the given order, those that begin with no line of a trail, and streams. Not listed
/// is what a shell's pattern takes along: the lock, the position file, what crashes left behind, and compressed copies whose
/// original is named as well.
///
/// # Errors
/// When a file cannot be read; the error names it.
pub fn in_order(files: &[PathBuf]) -> io::Result<Listing> {
    let is_copy = |path: &Path| name_of_original(path).is_some_and(|name| files.contains(&name));
    let (mut with_seq, mut left_out) = (Vec::new(), Vec::new());
    for path in files {
        if is_aside(&name_of(path)) || is_copy(path) {
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

/// The number of a file's first line; none when it does not begin with a line of a trail.
pub(in crate::audit) fn first_seq(path: &Path) -> io::Result<Option<u64>> {
    Ok(match beginning(path)? {
        Beginning::Line(seq) => Some(seq),
        Beginning::Nothing | Beginning::Other { .. } => None,
    })
}

/// A file that may belong to a trail, by its name.
pub(in crate::audit) struct Candidate {
    pub path: PathBuf,
    /// What its name has behind the trail's name.
    suffix: String,
    is_file: bool,
}

/// The files in the trail's directory that may belong to it.
pub(in crate::audit) fn candidates(path: &Path) -> io::Result<Vec<Candidate>> {
    let mut found = entries(path)?;
    found.retain(|entry| entry.is_file);
    Ok(found)
}

/// The same with what is not a regular file.
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
        if may_be && !is_aside(&file_name) && !is_copy {
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
    /// The number of the first line that the file should have by its name.
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

/// The number that the proxy gives to a file that it leaves.
fn seq_of_name(digits: &str) -> Option<u64> {
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// Whether the proxy has left a file of this name.
fn is_rotated(name: &str) -> bool {
    let end = without_compression(name).rsplit_once('.');
    end.is_some_and(|(_, digits)| seq_of_name(digits).is_some())
}

/// The directory of a file.
pub(in crate::audit) fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Whether a file of this name is not part of a trail but stored beside it.
fn is_aside(name: &str) -> bool {
    name.ends_with(".lock") || name.ends_with(".position") || name.contains(".torn-")
}
