//! The types of the fields. Each value is within its limits.

use std::fmt;

use super::super::wire::{FrameError, Reader, Writer};

/// The maximum size of the settings of a worker, in bytes.
pub const MAX_SETTINGS: usize = 32 * 1024;

/// The maximum length of the name of an HSM, in characters, as in the configuration.
const MAX_NAME: usize = 64;

/// The maximum size of a text for the log, in bytes.
const MAX_TEXT: usize = 500;

/// The name of an `[[hsm]]`: 1 to 64 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HsmName(String);

impl HsmName {
    /// Returns the name if it is valid.
    pub fn new(name: &str) -> Option<Self> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = (1..=MAX_NAME).contains(&name.len());
        (fits && name.bytes().all(is_legal)).then(|| Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let name = reader.text(MAX_NAME, "hsm")?;
        Self::new(name).ok_or(FrameError::Illegal("hsm"))
    }
}

/// Which settings a worker uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsChoice {
    /// The settings of the configuration file, or the last good ones if the file cannot be used.
    Current,
    /// The last good settings.
    LastGood,
}

impl SettingsChoice {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Current => 0,
            Self::LastGood => 1,
        }
    }

    pub(super) fn of(code: u8) -> Result<Self, FrameError> {
        match code {
            0 => Ok(Self::Current),
            1 => Ok(Self::LastGood),
            _ => Err(FrameError::Illegal("settings")),
        }
    }
}

/// The encoded settings of a worker, at most [`MAX_SETTINGS`] bytes. The launcher does not decode them. They contain no PIN.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingsBytes(Vec<u8>);

impl SettingsBytes {
    /// Returns the settings unless they are too long.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_SETTINGS).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let bytes = reader.bytes(MAX_SETTINGS, "settings")?;
        Ok(Self(bytes.to_owned()))
    }

    pub(super) fn write(&self, frame: Writer) -> Writer {
        frame.bytes(&self.0)
    }
}

/// Shows only the length, because logs must not contain paths of PIN files.
impl fmt::Debug for SettingsBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SettingsBytes({} bytes)", self.0.len())
    }
}

/// A text for the log: at most 500 bytes, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Creates a text: cuts a longer one, and replaces control characters by blanks.
    pub fn new(text: &str) -> Self {
        let mut kept = String::new();
        for character in text.chars() {
            let character = if character.is_control() {
                ' '
            } else {
                character
            };
            if kept.len() + character.len_utf8() > MAX_TEXT {
                break;
            }
            kept.push(character);
        }
        Self(kept)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let text = reader.text(MAX_TEXT, "text")?;
        match text.chars().any(char::is_control) {
            true => Err(FrameError::Illegal("text")),
            false => Ok(Self(text.to_owned())),
        }
    }

    pub(super) fn write(&self, frame: Writer) -> Writer {
        frame.bytes(self.0.as_bytes())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerEnd {
    /// The worker exited with this code, 0 to 255.
    Exited(u8),
    /// This signal killed the worker, 1 to 127.
    Killed(u8),
}

impl WorkerEnd {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        match (reader.u8()?, reader.u8()?) {
            (0, code) => Ok(Self::Exited(code)),
            (1, signal @ 1..=127) => Ok(Self::Killed(signal)),
            _ => Err(FrameError::Illegal("end")),
        }
    }

    pub(super) fn write(self, frame: Writer) -> Writer {
        match self {
            Self::Exited(code) => frame.u8(0).u8(code),
            Self::Killed(signal) => frame.u8(1).u8(signal),
        }
    }
}

impl fmt::Display for WorkerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Killed(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

/// The identity of a token: a hash of manufacturer, serial number and label. The serial number is not sufficient, because all tokens of
/// some products have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub [u8; 16]);

/// The identity of a PIN, without information about its value: a hash of its location and the last change of that location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinFingerprint(pub [u8; 32]);

/// How `C_Login` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOutcome {
    /// The token accepted the PIN.
    LoggedIn,
    /// The token rejected the PIN, with this PKCS#11 return code.
    Rejected(u32),
    /// The call failed for a reason that does not concern the PIN.
    Other,
}

impl LoginOutcome {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        match (reader.u8()?, reader.u32()?) {
            (0, 0) => Ok(Self::LoggedIn),
            (1, code) => Ok(Self::Rejected(code)),
            (2, 0) => Ok(Self::Other),
            _ => Err(FrameError::Illegal("outcome")),
        }
    }

    pub(super) fn write(self, frame: Writer) -> Writer {
        match self {
            Self::LoggedIn => frame.u8(0).u32(0),
            Self::Rejected(code) => frame.u8(1).u32(code),
            Self::Other => frame.u8(2).u32(0),
        }
    }
}
