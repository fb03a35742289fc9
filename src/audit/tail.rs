//! The files of a trail, and how far each has come.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::chain::{Line, Position, could_begin_a_line};
use super::error::AuditError;
use super::lines::{self, naming};

/// How much is read at once, going backwards.
const STEP: u64 = 64 * 1024;

/// The files of the trail at `path` that are there, in the order of their lines: also those that logrotate has renamed.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn trail_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let suffix = file_name.strip_prefix(&*name);
        let may_be = suffix.is_some_and(|s| s.is_empty() || s.starts_with(['.', '-']));
        let is_aside = suffix.is_some_and(|s| s == ".lock" || s.starts_with(".torn-"));
        if may_be && !is_aside && entry.file_type()?.is_file() {
            let seq = match first_seq(&entry.path()) {
                // Renamed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read?,
            };
            // A trail's own file does not drop out of it because its first line was changed.
            let seq = seq.or_else(|| seq_by_name(suffix?, &entry));
            found.extend(seq.map(|seq| (seq, entry.path())));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// These files in the order of their lines, behind them those that begin with no line of a trail. Left out is what lies beside a
/// trail, its lock and what crashes have left behind: a pattern of a shell takes them along.
///
/// # Errors
/// When a file cannot be read; the error names it.
pub fn in_order(files: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let with_seq = |path: &PathBuf| Ok((first_seq(path)?.unwrap_or(u64::MAX), path.clone()));
    let is_aside = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".lock") || name.contains(".torn-")
    };
    let files = files.iter().filter(|path| !is_aside(path));
    let mut files: Vec<_> = files.map(with_seq).collect::<io::Result<_>>()?;
    files.sort_by_key(|(seq, _)| *seq);
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// The number of the first line that a file should have by its name.
fn seq_by_name(suffix: &str, entry: &fs::DirEntry) -> Option<u64> {
    let is_empty = entry.metadata().is_ok_and(|metadata| metadata.len() == 0);
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

/// The number of a file's first line; none when it has none of ours.
pub(super) fn first_seq(path: &Path) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(File::open(path).map_err(naming(path))?);
    lines::read(&mut reader, &mut line).map_err(naming(path))?;
    let line = line.strip_suffix(b"\n").unwrap_or_default();
    Ok(Line::read(line).map(|line| line.seq))
}

/// How a file ends.
#[derive(Debug)]
pub(super) struct Tail {
    /// The last whole line; none when there is none.
    pub last: Option<Position>,
    /// The length of all whole lines.
    pub whole: u64,
    /// What comes behind.
    pub torn: Vec<u8>,
}

impl Tail {
    /// Reads the end of a file, which must be one of ours.
    pub(super) fn read(path: &Path, file: &File) -> Result<Self, AuditError> {
        let length = file.metadata().map_err(AuditError::unusable(path))?.len();
        let unusable = AuditError::unusable(path);
        let (end, whole) = last_lines(file, length).map_err(unusable)?;
        let foreign = |why| Err(AuditError::Foreign(path.to_owned(), why));
        let torn = end.get(whole..).unwrap_or_default().to_vec();
        let whole_length = length - torn.len() as u64;
        if whole == 0 {
            return match could_begin_a_line(&torn) {
                true => Ok(Self {
                    last: None,
                    whole: 0,
                    torn,
                }),
                false => foreign("it does not begin with a line of a trail"),
            };
        }
        let line = end.get(..whole - 1).unwrap_or_default();
        if Line::read(line).is_none() {
            return foreign("its last line is none of a trail");
        }
        let intact = Line::read_intact(line).ok_or_else(|| AuditError::Damaged(path.to_owned()))?;
        let last = Some(intact.position());
        Ok(Self {
            last,
            whole: whole_length,
            torn,
        })
    }
}

/// From the beginning of the last whole line to the file's end, and where in there the whole line ends.
fn last_lines(file: &File, length: u64) -> io::Result<(Vec<u8>, usize)> {
    let mut start = length;
    let mut end = Vec::new();
    loop {
        let mut newlines = end.iter().enumerate().rev().filter(|(_, b)| **b == b'\n');
        let last = newlines.next().map(|(at, _)| at + 1);
        let before = newlines.next().map(|(at, _)| at + 1);
        match (last, before) {
            (Some(last), Some(before)) => return Ok((end.split_off(before), last - before)),
            (Some(last), None) if start == 0 => return Ok((end, last)),
            (None, _) if start == 0 => return Ok((end, 0)),
            _ => {}
        }
        let from = start.saturating_sub(STEP);
        let mut more = vec![0; usize::try_from(start - from).unwrap_or_default()];
        file.read_exact_at(&mut more, from)?;
        more.append(&mut end);
        (end, start) = (more, from);
    }
}
