//! Opens a file of an audit trail for reading: plain or compressed, a regular file or a stream such as a pipe.
//!
//! # Invariants
//! - A stream is opened once and read once.
//! - A compressed file that ends too early, or does not match its checksum, is an error.
//! - The memory for reading does not depend on the size of the file.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::line_reader::{CHUNK, naming, read_line};
use super::zstd::Zstd;

/// The device and the inode of a file.
pub(in crate::audit) type Identity = (u64, u64);

/// A file of an audit trail, open for reading. Errors contain its path.
pub(in crate::audit) struct Source {
    path: PathBuf,
    identity: Identity,
    reader: Box<dyn BufRead + Send>,
}

impl Source {
    /// Opens the file.
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

    /// Returns the identity of the file, which does not change when the file is renamed.
    pub(in crate::audit) fn identity(&self) -> Identity {
        self.identity
    }

    /// Reads the next line, as [`read_line`] does.
    pub(in crate::audit) fn read_line(&mut self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        read_line(&mut self.reader, buffer).map_err(naming(&self.path))
    }
}

/// Returns whether the path is a stream, which can be read only once.
pub(super) fn is_stream(path: &Path) -> io::Result<bool> {
    let kind = path.metadata().map_err(naming(path))?.file_type();
    Ok(!kind.is_file() && !kind.is_dir())
}

/// Returns the path without its ending if the name is that of a compressed file of a supported format.
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

/// The length of the longest magic number, in bytes.
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
    // A stream cannot be rewound, so the bytes that were read are put before the rest.
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

/// Returns the compression of a file that begins with `begin`. A file with the name of a compressed file must be compressed: its beginning
/// may be lost.
fn compression(path: &Path, begin: &[u8]) -> io::Result<Option<Compression>> {
    let found = match begin {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd] => Some(Compression::Zstd),
        // A skippable frame. Some tools write one at the beginning.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(Compression::Zstd),
        _ => None,
    };
    match compression_by_name(path) {
        Some(named) if found != Some(named) => {
            let problem = format!("its name is that of a {named:?} file, but its content is not");
            Err(io::Error::new(io::ErrorKind::InvalidData, problem))
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
    fn a_compressed_file_is_read_completely_or_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..9_000)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        for (name, compress) in [("a.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.zst", zstd)] {
            let path = directory.path().join(name);
            let compressed = compress(&text);
            std::fs::write(&path, &compressed).unwrap();
            assert_eq!(read(&path).unwrap(), text);
            // Several members or frames in sequence, as in concatenated files.
            std::fs::write(&path, compressed.repeat(3)).unwrap();
            assert_eq!(read(&path).unwrap(), text.repeat(3));
            for length in (0..compressed.len())
                .step_by(97)
                .chain(compressed.len() - 20..compressed.len())
            {
                std::fs::write(&path, &compressed[..length]).unwrap();
                assert!(
                    read(&path).is_err(),
                    "{name}: {length} of {}",
                    compressed.len()
                );
            }
        }
    }

    #[test]
    fn a_checksum_that_does_not_match_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.zst");
        let mut compressed = zstd(b"one\ntwo\n");
        std::fs::write(&path, [&skippable(5), compressed.as_slice()].concat()).unwrap();
        assert_eq!(read(&path).unwrap(), b"one\ntwo\n");
        std::fs::write(&path, skippable(5)).unwrap();
        assert_eq!(read(&path).unwrap(), b"");
        std::fs::write(&path, &skippable(5)[..10]).unwrap();
        assert!(read(&path).is_err());
        let last = compressed.len() - 1;
        compressed[last] ^= 1;
        std::fs::write(&path, &compressed).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }

    fn skippable(length: u8) -> Vec<u8> {
        let head = [0x50, 0x2a, 0x4d, 0x18, length, 0, 0, 0];
        [head.to_vec(), vec![b'x'; length.into()]].concat()
    }
}
