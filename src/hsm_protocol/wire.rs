//! Reads and writes binary frames: the version, the kind, then the fields of the kind.
//!
//! Integers are little-endian. A byte string follows its length, a `u32`.

use thiserror::Error;

use crate::iv::{Iv, MAX_IV};

/// The longest frame, in bytes. Requests of the XKS API need less than 30 KiB. The framing of the AAD allows 64 KiB, and a job with a digest
/// contains the AAD twice.
pub const MAX_FRAME: usize = 192 * 1_024;

/// The longest plaintext, ciphertext with tag, AAD or prefix, in bytes: above the limits of the operations.
pub(super) const MAX_BYTES: usize = 68 * 1_024;

/// The version of binary frames. It is the same on both sides, because front and worker are the same executable.
pub(super) const VERSION: u8 = 1;

/// Why a frame is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// It ends before its last field.
    #[error("the frame is too short")]
    Short,
    /// It has bytes after its last field.
    #[error("the frame is too long")]
    Long,
    /// It has a different version.
    #[error("the frame has an unknown version")]
    Version,
    /// A field has an invalid value.
    #[error("the frame has an illegal {0}")]
    Illegal(&'static str),
}

/// Returns at most `max` bytes of a text, cut at a character boundary.
pub fn short(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Writes a frame.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Starts a frame with this `kind`. `capacity` is the size of its fields in bytes.
    pub(super) fn new(kind: u8, capacity: usize) -> Self {
        let mut frame = Vec::with_capacity(capacity + 64);
        frame.extend([VERSION, kind]);
        Self(frame)
    }

    /// Appends these bytes without their length.
    pub(super) fn array(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u8(self, value: u8) -> Self {
        self.array(&[value])
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.array(&value.to_le_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.array(&value.to_le_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.array(&value.to_le_bytes())
    }

    pub(super) fn boolean(self, value: bool) -> Self {
        self.u8(u8::from(value))
    }

    /// Appends the length and the bytes. Each field has a limit far below 4 GiB.
    pub(super) fn bytes(self, value: &[u8]) -> Self {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.u32(length).array(value)
    }

    pub(super) fn optional(self, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.boolean(true).bytes(value),
            None => self.boolean(false),
        }
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a frame.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Returns the kind of the frame, and a reader of its fields.
    pub(super) fn new(frame: &'a [u8]) -> Result<(u8, Self), FrameError> {
        match frame {
            [VERSION, kind, fields @ ..] => Ok((*kind, Self(fields))),
            [_, _, ..] => Err(FrameError::Version),
            _ => Err(FrameError::Short),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        self.take(N)?.try_into().map_err(|_| FrameError::Short)
    }

    pub(super) fn u8(&mut self) -> Result<u8, FrameError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn boolean(&mut self, field: &'static str) -> Result<bool, FrameError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FrameError::Illegal(field)),
        }
    }

    /// Reads at most `max` bytes.
    pub(super) fn bytes(
        &mut self,
        max: usize,
        field: &'static str,
    ) -> Result<&'a [u8], FrameError> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        match length <= max {
            true => self.take(length),
            false => Err(FrameError::Illegal(field)),
        }
    }

    pub(super) fn iv(&mut self) -> Result<Iv, FrameError> {
        Iv::new(self.bytes(MAX_IV, "IV")?).ok_or(FrameError::Illegal("IV"))
    }

    pub(super) fn text(&mut self, max: usize, field: &'static str) -> Result<&'a str, FrameError> {
        std::str::from_utf8(self.bytes(max, field)?).map_err(|_| FrameError::Illegal(field))
    }

    pub(super) fn optional(
        &mut self,
        max: usize,
        field: &'static str,
    ) -> Result<Option<&'a [u8]>, FrameError> {
        match self.boolean(field)? {
            true => self.bytes(max, field).map(Some),
            false => Ok(None),
        }
    }

    /// Returns the rest of the packet: the next frames.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Fails if the frame has extra bytes.
    pub(super) fn end(self) -> Result<(), FrameError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(FrameError::Long),
        }
    }
}
