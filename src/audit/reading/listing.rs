//! The files of a trail: which they are, and their order.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::line_reader::naming;
use super::source::{Source, is_stream, name_of_original};
use crate::audit::chain::Line;

/// So many bytes of a file show whether it is text.
const SAMPLE: u64 = 512;

/// The files of the trail at `path` that exist, in the order of their lines: also those that logrotate has renamed or compressed. A compressed
/// copy is left out while its original exists.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn trail_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in candidates(path)? {
        let seq = match first_seq(&file.path) {
            // Renamed or compressed since the directory was read.
            Err(_) if !file.path.exists() => continue,
            read => read?,
        };
        // A trail's own file does not drop out of it because its first line was changed.
        let seq = seq.or_else(|| file.seq_by_name());
        found.extend(seq.map(|seq| (seq, file.path)));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Files whose names say that they belong to the trail at `path`, but which are neither lines nor compressed in a way that can be read here.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn unreadable_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in candidates(path)? {
        if name_of_original(&file.path).is_none() && !is_text(&file.path)? {
            found.push(file.path);
        }
    }
    found.sort();
    Ok(found)
}

/// These files in the order of their lines; behind them, in the given order, those that begin with no line of a trail, and streams. Left out
/// is what a shell's pattern takes along: the lock, the position file, what crashes left behind, and compressed copies whose
/// original is named as well.
///
/// # Errors
/// When a file cannot be read; the error names it.
pub fn in_order(files: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let is_copy = |path: &Path| name_of_original(path).is_some_and(|name| files.contains(&name));
    let with_seq = |path: &PathBuf| {
        let seq = match is_stream(path)? {
            true => None,
            false => first_seq(path)?,
        };
        Ok((seq.unwrap_or(u64::MAX), path.clone()))
    };
    let files = files
        .iter()
        .filter(|path| !is_aside(&name_of(path)) && !is_copy(path));
    let mut files: Vec<_> = files.map(with_seq).collect::<io::Result<_>>()?;
    files.sort_by_key(|(seq, _)| *seq);
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// The number of a file's first line; none when it does not begin with a line of a trail.
pub(in crate::audit) fn first_seq(path: &Path) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    Source::open(path)?.read_line(&mut line)?;
    let line = line.strip_suffix(b"\n").unwrap_or_default();
    Ok(Line::read(line).map(|line| line.seq))
}

/// A file that may belong to a trail, by its name.
pub(in crate::audit) struct Candidate {
    pub path: PathBuf,
    /// What its name has behind the trail's name.
    suffix: String,
}

/// The files in the trail's directory that may belong to it.
pub(in crate::audit) fn candidates(path: &Path) -> io::Result<Vec<Candidate>> {
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
        if may_be && !is_aside(&file_name) && !is_copy && entry.file_type()?.is_file() {
            let suffix = suffix.to_owned();
            found.push(Candidate { path, suffix });
        }
    }
    Ok(found)
}

impl Candidate {
    /// The number of the first line that the file should have by its name.
    fn seq_by_name(&self) -> Option<u64> {
        let is_empty = self.path.metadata().is_ok_and(|file| file.len() == 0);
        let suffix = self.suffix.strip_suffix(".gz").unwrap_or(&self.suffix);
        let suffix = suffix.strip_suffix(".zst").unwrap_or(suffix);
        match suffix {
            _ if is_empty => None,
            "" => Some(u64::MAX),
            _ => suffix
                .strip_prefix('.')
                .filter(|s| s.len() == 20)?
                .parse()
                .ok(),
        }
    }
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

fn is_text(path: &Path) -> io::Result<bool> {
    let mut sample = Vec::new();
    let file = File::open(path).map_err(naming(path))?;
    let read = file.take(SAMPLE).read_to_end(&mut sample);
    read.map_err(naming(path))?;
    Ok(sample.iter().all(|b| matches!(b, b'\n' | b' '..=b'~')))
}
