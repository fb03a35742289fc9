//! The frames between the launcher and the processes that it starts.
//!
//! | direction | frames |
//! | --- | --- |
//! | front → launcher | [`FrontRequest`] |
//! | launcher → front | [`FrontMessage`] |
//! | worker → launcher | [`WorkerRequest`] |
//! | launcher → worker | [`WorkerMessage`] |
//!
//! A frame consists of the version, the kind and the fields of the kind. Each direction has different kinds, so that a frame is never
//! valid in the wrong direction.
//!
//! # Invariants
//! - `decode` accepts exactly the output of `encode`: one encoding per frame, without extra bytes.
//! - Each field has a limit, so a frame has at most [`MAX_FRAME`] bytes.

pub mod inherited;
pub mod launched;
mod values;

use super::wire::{FrameError, Reader, Writer};

pub use values::{
    HsmName, LoginOutcome, MAX_SETTINGS, PinFingerprint, Serial, SettingsBytes, SettingsChoice,
    Text, WorkerEnd,
};

/// The maximum size of a frame, in bytes: the settings of a worker and the other fields.
pub const MAX_FRAME: usize = 33 * 1024;

/// The maximum number of sessions of a worker, as in `[[hsm]] sessions`.
pub const MAX_SESSIONS: u16 = 1024;

/// A frame of one direction.
pub trait Frame: Sized {
    /// Encodes the frame.
    fn encode(&self) -> Vec<u8>;

    /// Parses the bytes of one packet.
    ///
    /// # Errors
    /// [`FrameError`] for everything that [`Frame::encode`] does not write.
    fn decode(bytes: &[u8]) -> Result<Self, FrameError>;
}

/// From the front to the launcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrontRequest {
    /// The front handles signals from now on; the launcher forwards those that it held back.
    HandlesSignals,
    /// Start a worker. The answer is [`FrontMessage::Started`] or [`FrontMessage::NotStarted`].
    Start {
        /// The front's number of this request.
        request: u32,
        /// The `name` of the `[[hsm]]`.
        hsm: HsmName,
        /// Sockets for jobs: 1 to [`MAX_SESSIONS`].
        sessions: u16,
        /// Which settings the worker uses.
        settings: SettingsChoice,
    },
    /// Kill a worker and its process group. Has no effect if the worker has ended.
    Kill {
        /// The launcher's number of the worker.
        worker: u32,
    },
    /// The worker serves, so its settings are now the last good ones of its HSM.
    Good {
        /// The launcher's number of the worker.
        worker: u32,
    },
}

/// From the launcher to the front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrontMessage {
    /// A worker was started. The packet contains its first descriptors: the control channel, the output, then the sessions.
    Started {
        /// The request.
        request: u32,
        /// The launcher's number of the worker.
        worker: u32,
        /// The number of sockets for jobs. The total number of descriptors is larger by two: the control channel and the output.
        sessions: u16,
    },
    /// The packet contains more descriptors of the worker that was started last.
    Descriptors,
    /// The worker could not be started.
    NotStarted {
        /// The request.
        request: u32,
        /// The reason.
        reason: Text,
    },
    /// A worker has ended, and its process group has been killed.
    Ended {
        /// The launcher's number of the worker.
        worker: u32,
        /// How it ended.
        end: WorkerEnd,
    },
    /// A warning of the launcher for the log.
    Warning(Text),
}

/// From a worker to the launcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerRequest {
    /// The settings that the worker will use. The answer is [`WorkerMessage::Stored`].
    Settings(SettingsBytes),
    /// Requests the last good settings. The answer is [`WorkerMessage::LastGood`].
    LastGood,
    /// Requests [`WorkerMessage::Parts`]. Sent once per worker, after its settings.
    Parts,
    /// Requests permission to call `C_Login`. The answer is [`WorkerMessage::LoginAllowed`] or [`WorkerMessage::LoginRefused`]. It waits
    /// until the login of a different worker at the same token has ended.
    LoginBegins {
        /// The serial number of the token.
        serial: Serial,
        /// The identity of the PIN.
        pin: PinFingerprint,
    },
    /// `C_Login` returned. No answer.
    LoginEnded(LoginOutcome),
}

/// From the launcher to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerMessage {
    /// The settings are stored.
    Stored,
    /// The last good settings of the HSM, if there are any. They are also stored as those of this worker.
    LastGood(Option<SettingsBytes>),
    /// The settings and channels of the worker. The packet contains the first descriptors: the control channel, then the sessions.
    Parts {
        /// The settings that the worker stored.
        settings: SettingsBytes,
        /// The number of sockets for jobs. The total number of descriptors is larger by one: the control channel.
        sessions: u16,
    },
    /// The packet contains more descriptors.
    Descriptors,
    /// The worker may call `C_Login` once.
    LoginAllowed,
    /// The worker must not call `C_Login`.
    LoginRefused(Text),
}

fn begin(kind: u8) -> Writer {
    Writer::new(kind, 0)
}

/// Parses a frame. `fields` reads the fields of its kind.
fn parse<T>(
    bytes: &[u8],
    fields: impl FnOnce(u8, &mut Reader<'_>) -> Result<T, FrameError>,
) -> Result<T, FrameError> {
    let (kind, mut reader) = Reader::new(bytes)?;
    let frame = fields(kind, &mut reader)?;
    reader.end()?;
    Ok(frame)
}

fn sessions(reader: &mut Reader<'_>) -> Result<u16, FrameError> {
    match reader.u16()? {
        sessions @ 1..=MAX_SESSIONS => Ok(sessions),
        _ => Err(FrameError::Illegal("sessions")),
    }
}

impl Frame for FrontRequest {
    fn encode(&self) -> Vec<u8> {
        let frame = match self {
            Self::HandlesSignals => begin(0x10),
            Self::Start {
                request,
                hsm,
                sessions,
                settings,
            } => {
                let frame = begin(0x11).u32(*request).bytes(hsm.as_str().as_bytes());
                frame.u16(*sessions).u8(settings.code())
            }
            Self::Kill { worker } => begin(0x12).u32(*worker),
            Self::Good { worker } => begin(0x13).u32(*worker),
        };
        frame.end()
    }

    fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        parse(bytes, |kind, reader| {
            Ok(match kind {
                0x10 => Self::HandlesSignals,
                0x11 => Self::Start {
                    request: reader.u32()?,
                    hsm: HsmName::read(reader)?,
                    sessions: sessions(reader)?,
                    settings: SettingsChoice::of(reader.u8()?)?,
                },
                0x12 => Self::Kill {
                    worker: reader.u32()?,
                },
                0x13 => Self::Good {
                    worker: reader.u32()?,
                },
                _ => return Err(FrameError::Illegal("kind")),
            })
        })
    }
}

impl Frame for FrontMessage {
    fn encode(&self) -> Vec<u8> {
        let frame = match self {
            Self::Started {
                request,
                worker,
                sessions,
            } => begin(0x20).u32(*request).u32(*worker).u16(*sessions),
            Self::Descriptors => begin(0x21),
            Self::NotStarted { request, reason } => reason.write(begin(0x22).u32(*request)),
            Self::Ended { worker, end } => end.write(begin(0x23).u32(*worker)),
            Self::Warning(text) => text.write(begin(0x24)),
        };
        frame.end()
    }

    fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        parse(bytes, |kind, reader| {
            Ok(match kind {
                0x20 => Self::Started {
                    request: reader.u32()?,
                    worker: reader.u32()?,
                    sessions: sessions(reader)?,
                },
                0x21 => Self::Descriptors,
                0x22 => Self::NotStarted {
                    request: reader.u32()?,
                    reason: Text::read(reader)?,
                },
                0x23 => Self::Ended {
                    worker: reader.u32()?,
                    end: WorkerEnd::read(reader)?,
                },
                0x24 => Self::Warning(Text::read(reader)?),
                _ => return Err(FrameError::Illegal("kind")),
            })
        })
    }
}

impl Frame for WorkerRequest {
    fn encode(&self) -> Vec<u8> {
        let frame = match self {
            Self::Settings(settings) => settings.write(begin(0x30)),
            Self::LastGood => begin(0x31),
            Self::Parts => begin(0x32),
            Self::LoginBegins { serial, pin } => begin(0x33).array(&serial.0).array(&pin.0),
            Self::LoginEnded(outcome) => outcome.write(begin(0x34)),
        };
        frame.end()
    }

    fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        parse(bytes, |kind, reader| {
            Ok(match kind {
                0x30 => Self::Settings(SettingsBytes::read(reader)?),
                0x31 => Self::LastGood,
                0x32 => Self::Parts,
                0x33 => Self::LoginBegins {
                    serial: Serial(reader.array()?),
                    pin: PinFingerprint(reader.array()?),
                },
                0x34 => Self::LoginEnded(LoginOutcome::read(reader)?),
                _ => return Err(FrameError::Illegal("kind")),
            })
        })
    }
}

impl Frame for WorkerMessage {
    fn encode(&self) -> Vec<u8> {
        let frame = match self {
            Self::Stored => begin(0x40),
            Self::LastGood(None) => begin(0x41),
            Self::LastGood(Some(settings)) => settings.write(begin(0x42)),
            Self::Parts { settings, sessions } => settings.write(begin(0x43).u16(*sessions)),
            Self::Descriptors => begin(0x44),
            Self::LoginAllowed => begin(0x45),
            Self::LoginRefused(reason) => reason.write(begin(0x46)),
        };
        frame.end()
    }

    fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        parse(bytes, |kind, reader| {
            Ok(match kind {
                0x40 => Self::Stored,
                0x41 => Self::LastGood(None),
                0x42 => Self::LastGood(Some(SettingsBytes::read(reader)?)),
                0x43 => Self::Parts {
                    sessions: sessions(reader)?,
                    settings: SettingsBytes::read(reader)?,
                },
                0x44 => Self::Descriptors,
                0x45 => Self::LoginAllowed,
                0x46 => Self::LoginRefused(Text::read(reader)?),
                _ => return Err(FrameError::Illegal("kind")),
            })
        })
    }
}

#[cfg(test)]
mod tests;
