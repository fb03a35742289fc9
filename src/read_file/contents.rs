//! Opens and reads files, in the calling thread.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, OFlags};
use zeroize::Zeroizing;

/// The maximum size of a file, in bytes. A configuration of 50,000 keys has a tenth of that.
pub const MAX_SIZE: usize = 64 << 20;

/// The initial buffer size for contents of unknown length, in bytes.
const MIN_BUFFER: usize = 4_096;

/// The contents of a file.
pub struct Contents {
    /// The bytes. They are wiped when they are dropped, because they may be a secret.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The metadata of the file that was read, even if another file has its path now.
    pub metadata: Metadata,
}

pub(super) fn of_regular(path: &Path) -> io::Result<Contents> {
    // Checked before the file is opened: opening a device can rewind a tape or start a watchdog.
    check_type(fs::metadata(path)?.file_type())?;
    // A FIFO may have replaced the file since the check. With this flag, opening it does not block.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    check_type(metadata.file_type())?;
    read(file, metadata)
}

pub(super) fn metadata_of_readable(path: &Path) -> io::Result<Metadata> {
    let metadata = fs::metadata(path)?;
    check_type(metadata.file_type())?;
    check_size(usize::try_from(metadata.len()).unwrap_or(usize::MAX))?;
    // Checks the effective user, as opening does.
    rustix::fs::accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS)?;
    Ok(metadata)
}

pub(super) fn of_any(path: &Path) -> io::Result<Contents> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    read(file, metadata)
}

fn check_type(file_type: FileType) -> io::Result<()> {
    let name = match file_type {
        found if found.is_file() => return Ok(()),
        found if found.is_dir() => "a directory",
        found if found.is_fifo() => "a FIFO",
        found if found.is_socket() => "a socket",
        found if found.is_block_device() || found.is_char_device() => "a device",
        _ => "something else",
    };
    let message = format!("it is {name}, not a regular file");
    Err(io::Error::new(ErrorKind::InvalidInput, message))
}

fn read(mut file: File, metadata: Metadata) -> io::Result<Contents> {
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(vec![0; size.clamp(MIN_BUFFER, MAX_SIZE) + 1]);
    let mut filled = 0;
    loop {
        check_size(size.max(filled))?;
        if filled == bytes.len() {
            bytes = grown(&bytes);
        }
        let free = bytes.get_mut(filled..).unwrap_or_default();
        match file.read(free) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(Contents { bytes, metadata })
}

fn check_size(size: usize) -> io::Result<()> {
    if size <= MAX_SIZE {
        return Ok(());
    }
    let message = format!("it is larger than {} MiB", MAX_SIZE >> 20);
    Err(io::Error::new(ErrorKind::FileTooLarge, message))
}

/// Returns a copy with twice the size. A growing `Vec` would not wipe its old memory; the caller drops the old buffer, which wipes it.
fn grown(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut more = Zeroizing::new(vec![0; bytes.len() * 2]);
    if let Some(beginning) = more.get_mut(..bytes.len()) {
        beginning.copy_from_slice(bytes);
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "contents").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(
                of_regular(&path(name)).unwrap().bytes.as_slice(),
                b"contents"
            );
        }
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), mode).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for (path, is) in [
            (path("fifo"), "a FIFO"),
            (path("socket"), "a socket"),
            (path("."), "a directory"),
            ("/dev/null".into(), "a device"),
            ("/dev/tty".into(), "a device"),
        ] {
            let error = of_regular(&path).err().unwrap().to_string();
            assert!(error.contains(is), "{error}");
            let seen = metadata_of_readable(&path).unwrap_err().to_string();
            assert_eq!(seen, error);
        }
        assert_eq!(of_any(Path::new("/dev/null")).unwrap().bytes.len(), 0);
    }

    #[test]
    fn contents_of_every_length_are_complete_and_large_files_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for length in [0, 1, MIN_BUFFER, MIN_BUFFER + 1, MIN_BUFFER + 2, 100_000] {
            let contents: Vec<u8> = (0..length).map(|n| n.to_le_bytes()[0]).collect();
            fs::write(&path, &contents).unwrap();
            assert_eq!(*of_regular(&path).unwrap().bytes, contents);
            let mut grown = grown(&contents);
            grown.truncate(length);
            assert_eq!(*grown, contents);
        }
        // The length is not known before, as for a pipe.
        let status = of_regular(Path::new("/proc/self/status")).unwrap();
        assert!(status.metadata.len() == 0 && status.bytes.starts_with(b"Name:"));
        let file = File::create(&path).unwrap();
        file.set_len(u64::try_from(MAX_SIZE).unwrap() + 1).unwrap();
        let error = of_regular(&path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        let seen = metadata_of_readable(&path).unwrap_err();
        assert_eq!(seen.kind(), ErrorKind::FileTooLarge);
        file.set_len(u64::try_from(MAX_SIZE).unwrap()).unwrap();
        assert_eq!(of_regular(&path).unwrap().bytes.len(), MAX_SIZE);
        assert!(metadata_of_readable(&path).is_ok());
    }
}
