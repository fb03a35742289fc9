//! The frames from the front to a session of a worker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::batch::{only, read_all};
use crate::ekm::KeySelector;
use crate::hsm_protocol::wire::{FrameError, MAX_BYTES, Reader, Writer};
use crate::iv::Iv;
use crate::secret::SecretBytes;

/// The longest label or id of a key, in bytes.
pub const MAX_SELECTOR: usize = 1_024;

const ENCRYPT: u8 = 1;
const DECRYPT: u8 = 2;
const DESCRIBE: u8 = 3;

/// A job of a session.
#[derive(Debug)]
pub struct Job {
    /// Chosen by the front. The answer has the same id.
    pub id: u64,
    /// The remaining time until the deadline.
    pub budget: Duration,
    /// The key.
    pub key: Arc<KeySelector>,
    /// The operation and its input.
    pub task: Task,
}

/// The operation of a job and its input.
pub enum Task {
    /// See `ekm::EncryptJob`.
    Encrypt {
        /// The plaintext.
        plaintext: Arc<SecretBytes>,
        /// Additional authenticated data.
        aad: Bytes,
        /// True if the key must also be allowed to decrypt.
        must_decrypt: bool,
        /// See `ekm::Digest`.
        digest_prefix: Option<Bytes>,
    },
    /// See `ekm::DecryptJob`.
    Decrypt {
        /// The IV.
        iv: Iv,
        /// Ciphertext ‖ tag.
        ciphertext: Bytes,
        /// Additional authenticated data.
        aad: Bytes,
        /// An alternative AAD, which is tried if the first one fails.
        or_aad: Option<Bytes>,
    },
    /// Reads the attributes of the key.
    Describe,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Encrypt { .. } => "Encrypt(…)",
            Self::Decrypt { .. } => "Decrypt(…)",
            Self::Describe => "Describe",
        })
    }
}

impl Job {
    /// Encodes the frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let (kind, length) = match &self.task {
            Task::Encrypt { plaintext, aad, .. } => (ENCRYPT, plaintext.len() + 2 * aad.len()),
            Task::Decrypt {
                ciphertext, aad, ..
            } => (DECRYPT, ciphertext.len() + 2 * aad.len()),
            Task::Describe => (DESCRIBE, 0),
        };
        let budget = u32::try_from(self.budget.as_micros()).unwrap_or(u32::MAX);
        let frame = Writer::new(kind, length).u64(self.id).u32(budget);
        let frame = write_selector(frame, &self.key);
        let frame = match &self.task {
            Task::Encrypt {
                plaintext,
                aad,
                must_decrypt,
                digest_prefix,
            } => frame
                .bytes(plaintext.expose())
                .bytes(aad)
                .boolean(*must_decrypt)
                .optional(digest_prefix.as_deref()),
            Task::Decrypt {
                iv,
                ciphertext,
                aad,
                or_aad,
            } => frame
                .bytes(iv.as_bytes())
                .bytes(ciphertext)
                .bytes(aad)
                .optional(or_aad.as_deref()),
            Task::Describe => frame,
        };
        frame.end()
    }

    /// Parses a frame.
    ///
    /// # Errors
    /// [`FrameError`] when it is not a job.
    pub fn from_frame(frame: &[u8]) -> Result<Self, FrameError> {
        Self::read(frame).and_then(only)
    }

    /// Parses the jobs of a packet, at most [`MAX_BATCH`](super::batch::MAX_BATCH).
    ///
    /// # Errors
    /// [`FrameError`] when one of them is not a job.
    pub fn from_packet(packet: &[u8]) -> Result<Vec<Self>, FrameError> {
        read_all(packet, Self::read)
    }

    /// Parses the first job, and returns the rest of the packet.
    fn read(packet: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let (kind, mut fields) = Reader::new(packet)?;
        let id = fields.u64()?;
        let budget = Duration::from_micros(fields.u32()?.into());
        let key = Arc::new(read_selector(&mut fields)?);
        let task = match kind {
            ENCRYPT => Task::Encrypt {
                plaintext: Arc::new(SecretBytes::from(
                    fields.bytes(MAX_BYTES, "plaintext")?.to_vec(),
                )),
                aad: copied(fields.bytes(MAX_BYTES, "AAD")?),
                must_decrypt: fields.boolean("flag")?,
                digest_prefix: fields.optional(MAX_BYTES, "prefix")?.map(copied),
            },
            DECRYPT => Task::Decrypt {
                iv: fields.iv()?,
                ciphertext: copied(fields.bytes(MAX_BYTES, "ciphertext")?),
                aad: copied(fields.bytes(MAX_BYTES, "AAD")?),
                or_aad: fields.optional(MAX_BYTES, "AAD")?.map(copied),
            },
            DESCRIBE => Task::Describe,
            _ => return Err(FrameError::Illegal("kind")),
        };
        let job = Self {
            id,
            budget,
            key,
            task,
        };
        Ok((job, fields.rest()))
    }
}

fn copied(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn write_selector(frame: Writer, key: &KeySelector) -> Writer {
    match key {
        KeySelector::Label(label) => frame.u8(1).bytes(label.as_bytes()),
        KeySelector::Id(id) => frame.u8(2).bytes(id),
    }
}

fn read_selector(fields: &mut Reader<'_>) -> Result<KeySelector, FrameError> {
    match fields.u8()? {
        1 => Ok(KeySelector::Label(
            fields.text(MAX_SELECTOR, "label")?.to_owned(),
        )),
        2 => Ok(KeySelector::Id(fields.bytes(MAX_SELECTOR, "id")?.to_vec())),
        _ => Err(FrameError::Illegal("selector")),
    }
}
