//! The hash chain: composes a line from the previous one, and parses lines.
//!
//! # Invariants
//! - A line is accepted only in the exact form that is written here. A change of any bit is detected.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::record::Entry;
use crate::clock::push_utc;
use crate::hex;

const VERSION: &str = r#"{"v":1,"seq":"#;
const TIME: &str = r#","time":""#;
const PREV: &str = r#"","prev":""#;
const KIND: &str = r#"","kind":""#;
const HASH: &str = r#","hash":""#;
const END: &str = r#""}"#;
/// The length of a SHA-256 in hexadecimal.
const HEX: usize = 64;
/// From `,"hash"` to the end of the line.
const TRAILER: usize = HASH.len() + HEX + END.len();

/// A position in the chain: the number and the hash of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the line. 0 before the first line.
    pub seq: u64,
    /// The hash of the line. Zeros before the first line.
    pub hash: [u8; 32],
}

impl Position {
    /// The position before the first line of an audit trail.
    pub const GENESIS: Self = Self {
        seq: 0,
        hash: [0; 32],
    };

    /// Returns the bytes that the HSM authenticates: a domain prefix, the number and the hash. The prefix prevents the use of a signature
    /// for any other purpose.
    pub fn aad(&self) -> Vec<u8> {
        let mut aad = b"xks-proxy audit v1\0".to_vec();
        aad.extend_from_slice(&self.seq.to_be_bytes());
        aad.extend_from_slice(&self.hash);
        aad
    }

    /// Appends the entry to `out` as the next line, and advances this position to it.
    pub(super) fn append(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let start = out.len();
        self.seq += 1;
        out.extend_from_slice(VERSION.as_bytes());
        // Writing to a vector does not fail.
        drop(write!(out, "{}", self.seq));
        out.extend_from_slice(TIME.as_bytes());
        push_utc(out, entry.time);
        out.extend_from_slice(PREV.as_bytes());
        hex::push_ascii(out, &self.hash);
        out.extend_from_slice(KIND.as_bytes());
        out.extend_from_slice(entry.kind.as_str().as_bytes());
        out.push(b'"');
        out.extend_from_slice(&entry.members);
        self.hash = sha256(out.get(start..).unwrap_or_default());
        out.extend_from_slice(HASH.as_bytes());
        hex::push_ascii(out, &self.hash);
        out.extend_from_slice(END.as_bytes());
        out.push(b'\n');
    }
}

impl fmt::Display for Position {
    /// Writes `SEQ:HASH`, which [`Position::from_str`] parses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex::encode(&self.hash))
    }
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "it must be SEQ:HASH, a number and 64 lower-case hexadecimal digits";
        let (seq, hash) = text.split_once(':').ok_or(form)?;
        let (seq, hash) = (seq.parse().ok(), hex::decode_lower_array(hash));
        let (Some(seq), Some(hash)) = (seq, hash) else {
            return Err(form);
        };
        Ok(Self { seq, hash })
    }
}

/// A line in a file, without its newline.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub seq: u64,
    pub time: &'a str,
    pub prev: [u8; 32],
    pub kind: &'a str,
    pub hash: [u8; 32],
}

impl<'a> Line<'a> {
    /// Parses the common members of a line. None when the bytes are not a line of an audit trail.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok().filter(|t| t.is_ascii())?;
        let (seq, rest) = text.strip_prefix(VERSION)?.split_once(TIME)?;
        let (time, rest) = rest.split_once(PREV)?;
        let (prev, rest) = rest.split_at_checked(HEX)?;
        let (kind, _) = rest.strip_prefix(KIND)?.split_once('"')?;
        let (_, trailer) = text.split_at_checked(text.len().checked_sub(TRAILER)?)?;
        let hash = trailer.strip_prefix(HASH)?.strip_suffix(END)?;
        Some(Self {
            seq: seq.parse().ok()?,
            time,
            prev: hex::decode_lower_array(prev)?,
            kind,
            hash: hex::decode_lower_array(hash)?,
        })
    }

    /// Parses a line, and returns none unless the line matches its hash.
    pub(super) fn read_intact(line: &'a [u8]) -> Option<Self> {
        let read = Self::read(line)?;
        let hashed = line.get(..line.len().checked_sub(TRAILER)?)?;
        (sha256(hashed) == read.hash).then_some(read)
    }

    /// Returns the position of the line in the chain.
    pub(super) fn position(&self) -> Position {
        Position {
            seq: self.seq,
            hash: self.hash,
        }
    }
}

/// Returns whether `bytes` can be the beginning of a line.
pub(super) fn could_begin_a_line(bytes: &[u8]) -> bool {
    let common = bytes.len().min(VERSION.len());
    bytes.get(..common) == VERSION.as_bytes().get(..common)
}

/// Returns whether `bytes`, which contain no newline, can be one line or its beginning. They must not contain the beginning of a second
/// line: within a line, quotation marks are escaped.
pub(super) fn could_be_one_line(bytes: &[u8]) -> bool {
    let rest = bytes.get(1..).unwrap_or_default();
    let mut windows = rest.windows(VERSION.len());
    could_begin_a_line(bytes) && !windows.any(|window| window == VERSION.as_bytes())
}

/// Returns the number of a line of which only the beginning may be intact.
pub(super) fn seq_of_beginning(bytes: &[u8]) -> Option<u64> {
    let rest = bytes.strip_prefix(VERSION.as_bytes())?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    let digits = rest.get(..digits.count())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::Kind;

    #[test]
    fn a_written_line_is_read_and_every_changed_bit_is_detected() {
        let mut chain = Position::GENESIS;
        let mut line = Vec::new();
        chain.append(&Entry::lifecycle(Kind::Start), &mut line);
        line.pop();
        let read = Line::read_intact(&line).unwrap();
        assert_eq!((read.seq, read.prev, read.kind), (1, [0; 32], "start"));
        assert_eq!(read.position(), chain);
        for bit in 0..line.len() * 8 {
            line[bit / 8] ^= 1 << (bit % 8);
            assert!(Line::read_intact(&line).is_none(), "bit {bit}");
            line[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
