//! Repairs a file after a crash: lines that may not be on the disk, and bytes after the last line that are not a line.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::tail::Tail;
use crate::audit::error::AuditError;
use crate::audit::record::{Entry, Kind};
use crate::audit::writing::disk::{Access, Disk, beside};
use crate::hex;

/// The size of a read, in bytes.
const CHUNK: usize = 64 * 1024;

/// The maximum number of names that are tried for a new file.
const NAMES: u32 = 100;

/// Ensures that every line of a file is on the disk, because the chain continues after them. After a failed `fdatasync` the operating
/// system can mark pages as written that are not. Therefore lines that were not acknowledged are written again.
pub(super) fn make_durable(disk: &dyn Disk, path: &Path, tail: Tail) -> io::Result<()> {
    if tail.whole == tail.acknowledged {
        return disk.sync(&File::open(path)?);
    }
    let file = disk.open(path, Access::Replace)?;
    let (mut at, mut chunk) = (tail.acknowledged, vec![0; CHUNK]);
    while at < tail.whole {
        let left = usize::try_from(tail.whole - at).unwrap_or(CHUNK);
        let part = chunk.get_mut(..left.min(CHUNK)).unwrap_or_default();
        file.read_exact_at(part, at)?;
        disk.write_at(&file, part, at)?;
        at += part.len() as u64;
    }
    disk.sync(&file)
}

/// Moves the bytes after the last line of `file` to a new file beside the audit trail at `path`. Returns the entry about them. None when there
/// are no such bytes.
pub(super) fn set_aside(
    disk: &dyn Disk,
    path: &Path,
    file: &File,
    tail: Tail,
) -> Result<Option<Entry>, AuditError> {
    if tail.torn == 0 {
        return Ok(None);
    }
    let next = tail.last.map_or(1, |last| last.seq + 1);
    let (aside, copy) = new_file(disk, path, next)?;
    let moved = copy_rest(disk, file, tail.whole, &copy).and_then(|digest| {
        disk.sync(&copy)?;
        disk.sync_directory(&aside)?;
        disk.set_len(file, tail.whole)?;
        disk.sync(file)?;
        Ok(digest)
    });
    let digest = moved.map_err(AuditError::unusable(&aside))?;
    let (name, bytes) = (
        aside.file_name().unwrap_or_default().to_string_lossy(),
        tail.torn,
    );
    tracing::warn!(bytes, file = %name, "a crash left bytes after the last line of the audit trail; moved them to a separate file");
    let members = serde_json::json!({
        "cause": "torn_line",
        "bytes": bytes,
        "sha256": hex::encode(&digest),
        "file": name,
    });
    Ok(Some(Entry::new(Kind::Recovered, &members)))
}

fn copy_rest(disk: &dyn Disk, file: &File, from: u64, copy: &File) -> io::Result<[u8; 32]> {
    let (mut digest, mut at, mut chunk) = (Sha256::new(), from, vec![0; CHUNK]);
    loop {
        let read = file.read_at(&mut chunk, at)?;
        let bytes = chunk.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(digest.finalize().into());
        }
        digest.update(bytes);
        disk.append(copy, bytes)?;
        at += read as u64;
    }
}

/// Creates a new file. A crash during an earlier recovery may have left a file with the first name.
fn new_file(disk: &dyn Disk, path: &Path, seq: u64) -> Result<(PathBuf, File), AuditError> {
    let mut attempt = 0;
    loop {
        let aside = beside(path, &format!(".torn-{seq}-{attempt}"));
        match disk.open(&aside, Access::New) {
            Ok(file) => return Ok((aside, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < NAMES => attempt += 1,
            Err(error) => return Err(AuditError::Unusable(aside, error)),
        }
    }
}
