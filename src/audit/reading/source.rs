//! How a file of a trail is opened for reading: plain or compressed, a regular file or a stream such as a pipe.
//!
//! # Invariants
//! - A stream is opened once and read once.
//! - A compressed file that ends too early, or does not match its checksum, is an error.
//! - The memory that reading needs does not depend on a file's size.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::line_reader::{CHUNK, naming, read_line};
use super::zstd::Zstd;

/// Device and inode.
pub(in crate::audit) type Identity = (u64, u64);

/// A file of a trail, open for reading. Errors name it.
pub(in crate::audit) struct Source {
    path: PathBuf,
    identity: Identity,
    reader: Box<dyn BufRead + Send>,
}

impl Source {
    /// Opens a file at its beginning.
    pub(in crate::audit) fn open(path: &Path) -> io::Result<Self> {
        let opened = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((identity_of(&metadata), reader(path, file, &metadata)?))
        });
        let (identity, reader) = opened.map_err(naming(path))?;
        let path = path.to_owned();
        Ok(Self {
            path,
            identity,
            reader,
        })
    }

    /// Which file it is, whatever its name is now.
    pub(in crate::audit) fn identity(&self) -> Identity {
        self.identity
    }

    /// Reads the next line as [`read_line`] does.
    pub(in crate::audit) fn read_line(&mut self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        read_line(&mut self.reader, buffer).map_err(naming(&self.path))
    }
}

/// Whether the file can be read only once, and only from where it stands.
pub(super) fn is_stream(path: &Path) -> io::Result<bool> {
    let kind = path.metadata().map_err(naming(path))?.file_type();
    Ok(!kind.is_file() && !kind.is_dir())
}

/// Whether a file has the name of a compressed one that can be read here; without its ending.
pub(super) fn name_of_original(path: &Path) -> Option<PathBuf> {
    compression_by_name(path).map(|_| path.with_extension(""))
}

pub(in crate::audit) fn identity_of(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstd,
}

/// The longest of the magic numbers.
const MAGIC: usize = 4;

fn reader(path: &Path, file: File, metadata: &Metadata) -> io::Result<Box<dyn BufRead + Send>> {
    let mut magic = [0; MAGIC];
    if metadata.is_file() {
        let length = file.read_at(&mut magic, 0)?;
        let begin = magic.get(..length).unwrap_or_default();
        let compression = compression(path, begin)?;
        return Ok(decompressed(
            BufReader::with_capacity(CHUNK, file),
            compression,
        ));
    }
    // A stream cannot go back: what was read of it is put before the rest.
    let mut begin = Vec::new();
    (&file).take(MAGIC as u64).read_to_end(&mut begin)?;
    let compression = compression(path, &begin)?;
    let whole = Cursor::new(begin).chain(BufReader::with_capacity(CHUNK, file));
    Ok(decompressed(whole, compression))
}

fn decompressed(
    reader: impl BufRead + Send + 'static,
    compression: Option<Compression>,
) -> Box<dyn BufRead + Send> {
    match compression {
        None => Box::new(reader),
        Some(Compression::Gzip) => buffered(MultiGzDecoder::new(reader)),
        Some(Compression::Zstd) => buffered(Zstd::new(reader)),
    }
}

fn buffered(reader: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::with_capacity(CHUNK, reader))
}

/// How a file that begins so is compressed. One that has the name of a compressed file must be one: it may have lost its beginning.
fn compression(path: &Path, begin: &[u8]) -> io::Result<Option<Compression>> {
    let found = match begin {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd] => Some(Compression::Zstd),
        // A skippable frame, with which some tools begin.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(Compression::Zstd),
        _ => None,
    };
    match compression_by_name(path) {
        Some(named) if found != Some(named) => {
            let what = format!("it has the name of a {named:?} file but is none");
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
        _ => Ok(found),
    }
}

fn compression_by_name(path: &Path) -> Option<Compression> {
    match path.extension()?.to_str()? {
        "gz" => Some(Compression::Gzip),
        "zst" => Some(Compression::Zstd),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Source::open(path)?.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(bytes, level)
    }

    #[test]
    fn what_is_compressed_is_read_as_a_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..9_000)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        for (name, pack) in [("a.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.zst", zstd)] {
            let path = directory.path().join(name);
            let packed = pack(&text);
            std::fs::write(&path, &packed).unwrap();
            assert_eq!(read(&path).unwrap(), text);
            // Several members or frames behind one another, as a concatenation of files has them.
            std::fs::write(&path, packed.repeat(3)).unwrap();
            assert_eq!(read(&path).unwrap(), text.repeat(3));
            for length in (0..packed.len())
                .step_by(97)
                .chain(packed.len() - 20..packed.len())
            {
                std::fs::write(&path, &packed[..length]).unwrap();
                assert!(read(&path).is_err(), "{name}: {length} of {}", packed.len());
            }
        }
    }

    #[test]
    fn a_checksum_that_does_not_match_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.zst");
        let mut packed = zstd(b"one\ntwo\n");
        std::fs::write(&path, [&skippable(5), packed.as_slice()].concat()).unwrap();
        assert_eq!(read(&path).unwrap(), b"one\ntwo\n");
        std::fs::write(&path, skippable(5)).unwrap();
        assert_eq!(read(&path).unwrap(), b"");
        std::fs::write(&path, &skippable(5)[..10]).unwrap();
        assert!(read(&path).is_err());
        let last = packed.len() - 1;
        packed[last] ^= 1;
        std::fs::write(&path, &packed).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }

    fn skippable(length: u8) -> Vec<u8> {
        let head = [0x50, 0x2a, 0x4d, 0x18, length, 0, 0, 0];
        [head.to_vec(), vec![b'x'; length.into()]].concat()
    }
}
