//! The frames from a session of a worker to the front.

use std::time::Duration;

use super::batch::{only, read_all};
use crate::ekm::{
    DIGEST_LENGTH, Encrypted, KeyAttributes, KeyKind, KeyManagerFault, KeyUsageFlags, Opened,
    TAG_LENGTH,
};
use crate::hsm_protocol::wire::{FrameError, MAX_BYTES, Reader, Writer, short};
use crate::secret::SecretBytes;

/// The longest text, in bytes. A longer one is cut.
const MAX_TEXT: usize = 1_024;

const READY: u8 = 16;
const ENCRYPTED: u8 = 17;
const OPENED: u8 = 18;
const DESCRIBED: u8 = 19;
const FAILED: u8 = 20;

/// A frame of a session.
#[derive(Debug)]
pub enum FromSession {
    /// The session is open and accepts jobs. Sent once.
    Ready,
    /// The answer to a job.
    Answer(Answer),
}

/// The answer to a job.
#[derive(Debug)]
pub struct Answer {
    /// The id of the job.
    pub id: u64,
    /// The HSM calls of the job.
    pub cost: Cost,
    /// The outcome of the job.
    pub outcome: Outcome,
}

/// The HSM calls of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The time that the session worked on the job.
    pub worked: Duration,
    /// Calls to encrypt.
    pub encrypt_calls: u8,
    /// Calls to decrypt.
    pub decrypt_calls: u8,
    /// Calls to read attributes.
    pub describe_calls: u8,
    /// Ciphertexts made under the key.
    pub encryptions: u8,
}

/// The outcome of a job.
pub enum Outcome {
    /// A ciphertext.
    Encrypted(Encrypted),
    /// A plaintext.
    Opened(Opened),
    /// Attributes.
    Described(KeyAttributes),
    /// A failure.
    Failed(Failed),
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Encrypted(_) => f.write_str("Encrypted(…)"),
            Self::Opened(_) => f.write_str("Opened(…)"),
            Self::Described(attributes) => f.debug_tuple("Described").field(attributes).finish(),
            Self::Failed(failed) => f.debug_tuple("Failed").field(failed).finish(),
        }
    }
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The kind of failure.
    pub fault: KeyManagerFault,
    /// For the operator; at most 1,024 bytes.
    pub detail: String,
    /// True if the HSM failed.
    pub is_fatal: bool,
    /// The return code as metrics show it, if the HSM rejects the key.
    pub rejected_with: Option<String>,
    /// How long other jobs with the same operation and key would fail in the same way; zero if unknown.
    pub lasts: Duration,
}

impl FromSession {
    /// Encodes the frame.
    pub fn to_frame(&self) -> Vec<u8> {
        match self {
            Self::Ready => Writer::new(READY, 0).end(),
            Self::Answer(answer) => answer.to_frame(),
        }
    }

    /// Parses a frame.
    ///
    /// # Errors
    /// [`FrameError`] when it is not a frame of a session.
    pub fn from_frame(frame: &[u8]) -> Result<Self, FrameError> {
        Self::read(frame).and_then(only)
    }

    /// Parses the frames of a packet, at most [`MAX_BATCH`](super::batch::MAX_BATCH).
    ///
    /// # Errors
    /// [`FrameError`] when one of them is not a frame of a session.
    pub fn from_packet(packet: &[u8]) -> Result<Vec<Self>, FrameError> {
        read_all(packet, Self::read)
    }

    /// Parses the first frame, and returns the rest of the packet.
    fn read(packet: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let (kind, mut fields) = Reader::new(packet)?;
        let frame = match kind {
            READY => Self::Ready,
            _ => Self::Answer(Answer::read(kind, &mut fields)?),
        };
        Ok((frame, fields.rest()))
    }
}

impl Answer {
    fn to_frame(&self) -> Vec<u8> {
        let (kind, length) = match &self.outcome {
            Outcome::Encrypted(encrypted) => (ENCRYPTED, encrypted.ciphertext.len()),
            Outcome::Opened(opened) => (OPENED, opened.plaintext.len()),
            Outcome::Described(_) => (DESCRIBED, 0),
            Outcome::Failed(_) => (FAILED, MAX_TEXT),
        };
        let frame = Writer::new(kind, length).u64(self.id);
        let frame = self.cost.write(frame);
        let frame = match &self.outcome {
            Outcome::Encrypted(encrypted) => write_encrypted(frame, encrypted),
            Outcome::Opened(opened) => frame
                .boolean(opened.by_or_aad)
                .bytes(opened.plaintext.expose()),
            Outcome::Described(attributes) => write_attributes(frame, attributes),
            Outcome::Failed(failed) => failed.write(frame),
        };
        frame.end()
    }

    fn read(kind: u8, fields: &mut Reader<'_>) -> Result<Self, FrameError> {
        let id = fields.u64()?;
        let cost = Cost::read(fields)?;
        let outcome = match kind {
            ENCRYPTED => Outcome::Encrypted(read_encrypted(fields)?),
            OPENED => Outcome::Opened(Opened {
                by_or_aad: fields.boolean("flag")?,
                plaintext: SecretBytes::from(fields.bytes(MAX_BYTES, "plaintext")?.to_vec()),
            }),
            DESCRIBED => Outcome::Described(read_attributes(fields)?),
            FAILED => Outcome::Failed(Failed::read(fields)?),
            _ => return Err(FrameError::Illegal("kind")),
        };
        Ok(Self { id, cost, outcome })
    }
}

impl Cost {
    fn write(self, frame: Writer) -> Writer {
        frame
            .u32(micros(self.worked))
            .u8(self.encrypt_calls)
            .u8(self.decrypt_calls)
            .u8(self.describe_calls)
            .u8(self.encryptions)
    }

    fn read(fields: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(Self {
            worked: Duration::from_micros(fields.u32()?.into()),
            encrypt_calls: fields.u8()?,
            decrypt_calls: fields.u8()?,
            describe_calls: fields.u8()?,
            encryptions: fields.u8()?,
        })
    }
}

impl Failed {
    fn write(&self, frame: Writer) -> Writer {
        let code = KeyManagerFault::ALL
            .iter()
            .position(|fault| *fault == self.fault);
        let code = code.and_then(|code| u8::try_from(code).ok());
        let rejected_with = self.rejected_with.as_deref();
        frame
            .u8(code.unwrap_or(u8::MAX))
            .boolean(self.is_fatal)
            .u32(micros(self.lasts))
            .bytes(cut(&self.detail).as_bytes())
            .optional(rejected_with.map(|code| cut(code).as_bytes()))
    }

    fn read(fields: &mut Reader<'_>) -> Result<Self, FrameError> {
        let code = usize::from(fields.u8()?);
        Ok(Self {
            fault: *KeyManagerFault::ALL
                .get(code)
                .ok_or(FrameError::Illegal("fault"))?,
            is_fatal: fields.boolean("flag")?,
            lasts: Duration::from_micros(fields.u32()?.into()),
            detail: fields.text(MAX_TEXT, "detail")?.to_owned(),
            rejected_with: match fields.boolean("code")? {
                true => Some(fields.text(MAX_TEXT, "code")?.to_owned()),
                false => None,
            },
        })
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

fn cut(text: &str) -> &str {
    short(text, MAX_TEXT)
}

fn write_encrypted(frame: Writer, encrypted: &Encrypted) -> Writer {
    let digest = encrypted.digest.as_ref();
    frame
        .bytes(encrypted.iv.as_bytes())
        .bytes(&encrypted.ciphertext)
        .bytes(&encrypted.tag)
        .optional(digest.map(|digest| digest.as_slice()))
}

fn read_encrypted(fields: &mut Reader<'_>) -> Result<Encrypted, FrameError> {
    let iv = fields.iv()?;
    let ciphertext = fields.bytes(MAX_BYTES, "ciphertext")?.to_vec();
    let tag = fields.bytes(TAG_LENGTH, "tag")?;
    let tag = tag.try_into().map_err(|_| FrameError::Illegal("tag"))?;
    let digest = match fields.optional(DIGEST_LENGTH, "digest")? {
        Some(digest) => Some(
            digest
                .try_into()
                .map_err(|_| FrameError::Illegal("digest"))?,
        ),
        None => None,
    };
    Ok(Encrypted {
        iv,
        ciphertext,
        tag,
        digest,
    })
}

fn write_attributes(frame: Writer, attributes: &KeyAttributes) -> Writer {
    let frame = match &attributes.kind {
        KeyKind::Aes(bits) => frame.u8(1).u32(*bits),
        KeyKind::Other(name) => frame.u8(2).bytes(cut(name).as_bytes()),
    };
    frame.array(&flags(attributes.usage).map(u8::from))
}

fn flags(usage: KeyUsageFlags) -> [bool; 7] {
    [
        usage.encrypt,
        usage.decrypt,
        usage.sign,
        usage.verify,
        usage.wrap,
        usage.unwrap,
        usage.derive,
    ]
}

fn read_attributes(fields: &mut Reader<'_>) -> Result<KeyAttributes, FrameError> {
    let kind = match fields.u8()? {
        1 => KeyKind::Aes(fields.u32()?),
        2 => KeyKind::Other(fields.text(MAX_TEXT, "kind")?.to_owned()),
        _ => return Err(FrameError::Illegal("kind of key")),
    };
    let mut flag = || fields.boolean("usage");
    Ok(KeyAttributes {
        kind,
        usage: KeyUsageFlags {
            encrypt: flag()?,
            decrypt: flag()?,
            sign: flag()?,
            verify: flag()?,
            wrap: flag()?,
            unwrap: flag()?,
            derive: flag()?,
        },
    })
}
