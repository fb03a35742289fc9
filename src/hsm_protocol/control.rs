//! The frames of the control channel between front and worker. Each frame is one JSON value of at most [`MAX_CONTROL_FRAME`] bytes.

pub mod expected_list;
mod key_news;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::ekm::KeySelector;

pub use key_news::{KeyNews, WireSelector};

/// The longest control frame, in bytes.
pub const MAX_CONTROL_FRAME: usize = 64 * 1_024;

/// The maximum size of the keys in one frame, in bytes, so that the frame stays below [`MAX_CONTROL_FRAME`].
const KEYS_PER_FRAME: usize = MAX_CONTROL_FRAME - 1_024;

/// The identity of a key object of a token, as a hash. It reveals nothing about the key.
pub type ProofId = [u8; 32];

/// The maximum number of proofs in one frame.
const PROOFS_PER_FRAME: usize = 256;

/// Why a control frame is rejected.
#[derive(Debug, Error)]
pub enum ControlError {
    /// It is longer than [`MAX_CONTROL_FRAME`].
    #[error("the control frame is too long")]
    Long,
    /// It is not a valid frame.
    #[error("the control frame is not valid: {0}")]
    Invalid(#[from] serde_json::Error),
}

/// An order of the front to a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Order {
    /// The keys that the configuration expects. A long list is sent in several frames.
    Expect {
        /// True if this is the first frame of the list.
        is_first: bool,
        /// True if this is the last frame of the list.
        is_last: bool,
        /// Keys, each with whether a key store encrypts with it.
        keys: Vec<(WireSelector, bool)>,
    },
    /// Key objects that a previous worker proved. A long list is sent in several frames.
    Proved(Vec<ProofId>),
    /// The token held keys before. Without keys it must not be served.
    HeldKeys,
}

/// A report of a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum News {
    /// The token is open and probed.
    Opened {
        /// The manufacturer.
        vendor: String,
        /// Product and firmware.
        model: String,
        /// The GCM plan.
        profile: String,
    },
    /// The token cannot be opened. The worker ends.
    NotOpened {
        /// The reason, for the operator.
        reason: String,
        /// True if further attempts are useless until the configuration changes.
        is_final: bool,
        /// True if the token has no session or login left. Another worker may use them.
        is_limit: bool,
    },
    /// Reports whether the token holds secret keys.
    HoldsKeys(bool),
    /// The result of a health check.
    Checked {
        /// The health.
        health: Health,
        /// Why the HSM is not healthy.
        reason: String,
        /// The duration of one operation of the check, in microseconds; 0 if the check failed.
        operation_micros: u64,
    },
    /// The HSM failed, and a new worker must open it.
    Fatal(String),
    /// The output of the HSM was wrong.
    Distrusted(String),
    /// Reports whether a key object is proved.
    Proof(ProofId, bool),
    /// The current state of expected keys.
    Keys(Vec<KeyNews>),
    /// A log line.
    Line(Line),
}

/// The result of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The check succeeded.
    Healthy,
    /// The HSM serves, but the check cannot be made.
    Impaired,
    /// The check failed.
    Failed,
}

/// A line for the log of the proxy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The level.
    pub level: LineLevel,
    /// The message.
    pub message: String,
    /// The fields.
    pub fields: Map<String, Value>,
    /// The number of lines that were dropped before this one, because the front did not read.
    pub lost: u64,
}

/// The level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are the levels of the log")]
pub enum LineLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl Order {
    /// Creates the orders with the list of expected keys.
    pub fn expect<'a>(keys: impl ExactSizeIterator<Item = (&'a KeySelector, bool)>) -> Vec<Self> {
        let keys: Vec<(WireSelector, bool)> =
            keys.map(|(key, encrypts)| (key.into(), encrypts)).collect();
        let mut chunks = chunks(&keys, |(key, _)| key.length());
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let last = chunks.len() - 1;
        let frame = |(number, keys): (usize, &[_])| Self::Expect {
            is_first: number == 0,
            is_last: number == last,
            keys: keys.to_vec(),
        };
        chunks.into_iter().enumerate().map(frame).collect()
    }

    /// Creates the orders with proved key objects.
    pub fn proved(objects: &[ProofId]) -> impl Iterator<Item = Self> + '_ {
        objects
            .chunks(PROOFS_PER_FRAME)
            .map(|objects| Self::Proved(objects.to_vec()))
    }

    /// Encodes the order.
    ///
    /// # Errors
    /// [`ControlError`] when the frame would be too long.
    pub fn to_frame(&self) -> Result<Vec<u8>, ControlError> {
        to_frame(self)
    }

    /// Parses a frame.
    ///
    /// # Errors
    /// [`ControlError`] when it is not an order.
    pub fn from_frame(frame: &[u8]) -> Result<Self, ControlError> {
        from_frame(frame)
    }
}

impl News {
    /// The report on a successful check, with the duration of one operation.
    pub fn healthy(operation: Duration) -> Self {
        Self::Checked {
            health: Health::Healthy,
            reason: String::new(),
            operation_micros: u64::try_from(operation.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// Creates the reports on these keys.
    pub fn of_keys(keys: &[KeyNews]) -> impl Iterator<Item = Self> + '_ {
        chunks(keys, KeyNews::length)
            .into_iter()
            .map(|keys| Self::Keys(keys.to_vec()))
    }

    /// Encodes the report.
    ///
    /// # Errors
    /// [`ControlError`] when the frame would be too long.
    pub fn to_frame(&self) -> Result<Vec<u8>, ControlError> {
        to_frame(self)
    }

    /// Parses a frame.
    ///
    /// # Errors
    /// [`ControlError`] when it is not a report.
    pub fn from_frame(frame: &[u8]) -> Result<Self, ControlError> {
        from_frame(frame)
    }
}

/// Splits the items into groups of at most [`KEYS_PER_FRAME`] bytes. A larger item gets its own group.
fn chunks<T>(items: &[T], length: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut chunks, mut rest) = (Vec::new(), items);
    while !rest.is_empty() {
        let mut total = 0;
        let mut fits = |item: &&T| {
            total += length(item);
            total <= KEYS_PER_FRAME
        };
        let count = rest.iter().take_while(&mut fits).count().max(1);
        let (chunk, others) = rest.split_at(count);
        chunks.push(chunk);
        rest = others;
    }
    chunks
}

pub(super) fn to_frame(value: &impl Serialize) -> Result<Vec<u8>, ControlError> {
    let frame = serde_json::to_vec(value)?;
    match frame.len() <= MAX_CONTROL_FRAME {
        true => Ok(frame),
        false => Err(ControlError::Long),
    }
}

pub(super) fn from_frame<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, ControlError> {
    match frame.len() <= MAX_CONTROL_FRAME {
        true => Ok(serde_json::from_slice(frame)?),
        false => Err(ControlError::Long),
    }
}
