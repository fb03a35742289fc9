//! Reads and writes the fields of a frame.
//!
//! Integers are little-endian. Bytes of variable length follow their length as `u32`.

use thiserror::Error;

/// The bytes are not a frame of the expected direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It ends within a field.
    #[error("the frame is truncated")]
    Truncated,
    /// Bytes follow the last field.
    #[error("the frame is too long")]
    TooLong,
    /// The version of the protocol is a different one.
    #[error("the frame has an unknown version")]
    Version,
    /// The direction has no frame of this kind.
    #[error("the frame has an unknown kind")]
    Kind,
    /// A field has a value outside its limits.
    #[error("the field {0} of the frame is not valid")]
    Field(&'static str),
}

/// Takes fields from the front of a frame.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; so for the other fields.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*field)
    }

    /// One byte.
    #[expect(clippy::missing_errors_doc, reason = "see `array`")]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    #[expect(clippy::missing_errors_doc, reason = "see `array`")]
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    #[expect(clippy::missing_errors_doc, reason = "see `array`")]
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Four bytes with a sign.
    #[expect(clippy::missing_errors_doc, reason = "see `array`")]
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    /// Bytes of variable length.
    ///
    /// # Errors
    /// [`Malformed::Field`] with `name` when there are more than `max`; [`Malformed::Truncated`].
    pub fn bytes(&mut self, name: &'static str, max: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if length > max {
            return Err(Malformed::Field(name));
        }
        let (field, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(field)
    }

    /// The end of the frame.
    ///
    /// # Errors
    /// [`Malformed::TooLong`].
    pub fn finish(self) -> Result<(), Malformed> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Malformed::TooLong),
        }
    }
}

/// Appends fields to a frame.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Appends these bytes without their length.
    pub fn array(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(self, value: u8) -> Self {
        self.array(&[value])
    }

    /// Appends two bytes.
    pub fn u16(self, value: u16) -> Self {
        self.array(&value.to_le_bytes())
    }

    /// Appends four bytes.
    pub fn u32(self, value: u32) -> Self {
        self.array(&value.to_le_bytes())
    }

    /// Appends four bytes with a sign.
    pub fn i32(self, value: i32) -> Self {
        self.array(&value.to_le_bytes())
    }

    /// Appends bytes after their length. Longer fields than 4 GiB cannot be: each field has a limit.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.u32(length).array(bytes)
    }

    /// The frame.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}
