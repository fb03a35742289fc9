//! What front and worker tell each other besides jobs. Each frame is one JSON object of at most [`MAX_CONTROL_FRAME`] bytes.

pub mod expected_list;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::wire::short;
use crate::ekm::{KeyManagerFault, KeySelector, KeyState};

/// The longest control frame, in bytes.
pub const MAX_CONTROL_FRAME: usize = 64 * 1_024;

/// The most bytes of keys in one frame, so that the frame stays below [`MAX_CONTROL_FRAME`].
const KEYS_PER_FRAME: usize = MAX_CONTROL_FRAME - 1_024;

/// The longest reason of a rejection in a frame, in bytes.
const MAX_REASON: usize = 1_024;

/// What tells a key object of a token from every other one. It says nothing about the key.
pub type ProofId = [u8; 32];

/// The most proofs in one frame.
const PROOFS_PER_FRAME: usize = 256;

/// Why a control frame is rejected.
#[derive(Debug, Error)]
pub enum ControlError {
    /// It is longer than [`MAX_CONTROL_FRAME`].
    #[error("the control frame is too long")]
    Long,
    /// It is not what it must be.
    #[error("the control frame is not valid: {0}")]
    Invalid(#[from] serde_json::Error),
}

/// What the front asks of a worker as a whole.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Order {
    /// The configuration expects these keys. A list that is long comes in several frames.
    Expect {
        /// Whether the list begins with this frame.
        is_first: bool,
        /// Whether it ends with it.
        is_last: bool,
        /// Keys with whether a key store encrypts with them.
        keys: Vec<(WireSelector, bool)>,
    },
    /// These key objects were proved by a worker that served before. A long list comes in several frames.
    Proved(Vec<ProofId>),
    /// The token held keys before: without keys it must not be served.
    HeldKeys,
}

/// What a worker reports.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum News {
    /// The token is open and probed.
    Opened {
        /// Its manufacturer.
        vendor: String,
        /// Product and firmware.
        model: String,
        /// How it does AES-GCM.
        profile: String,
    },
    /// The token cannot be opened. The worker ends.
    NotOpened {
        /// For the operator.
        reason: String,
        /// Whether trying again cannot help until the configuration changes.
        is_final: bool,
        /// Whether the token has no session or login left: another worker may hold it.
        is_limit: bool,
    },
    /// The token holds secret keys, or none.
    HoldsKeys(bool),
    /// A health check was made.
    Checked {
        /// What it found.
        health: Health,
        /// Why it is not healthy.
        reason: String,
        /// How long one operation of the check took, in microseconds; 0 if it did not work.
        operation_micros: u64,
    },
    /// The HSM failed: another worker must open it.
    Fatal(String),
    /// The output of the HSM was wrong.
    Distrusted(String),
    /// A key object is proved, or no longer.
    Proof(ProofId, bool),
    /// The current state of expected keys.
    Keys(Vec<KeyNews>),
    /// A log line.
    Line(Line),
}

/// What a health check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It worked.
    Healthy,
    /// The HSM serves, but the check cannot be made.
    Impaired,
    /// It failed.
    Failed,
}

/// A line for the log of the proxy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// How important it is.
    pub level: LineLevel,
    /// What happened.
    pub message: String,
    /// Its fields.
    pub fields: Map<String, Value>,
    /// How many lines were lost before it, because the front did not read.
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

/// A key by its label or its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireSelector {
    /// `CKA_LABEL`.
    Label(String),
    /// `CKA_ID`.
    Id(Vec<u8>),
}

impl From<&KeySelector> for WireSelector {
    fn from(key: &KeySelector) -> Self {
        match key {
            KeySelector::Label(label) => Self::Label(label.clone()),
            KeySelector::Id(id) => Self::Id(id.clone()),
        }
    }
}

impl From<WireSelector> for KeySelector {
    fn from(key: WireSelector) -> Self {
        match key {
            WireSelector::Label(label) => Self::Label(label),
            WireSelector::Id(id) => Self::Id(id),
        }
    }
}

/// What a worker knows of one expected key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyNews {
    /// Which one.
    pub key: WireSelector,
    /// `encrypts`, `decrypts`, `is_duplicated` of a key that is there; none: it is missing.
    pub present: Option<(bool, bool, bool)>,
    /// The place of a fault in [`KeyManagerFault::ALL`], and the reason, if a proof rejected the key.
    pub rejection: Option<(usize, String)>,
}

impl WireSelector {
    /// The most bytes that it takes in a frame, with the members beside it: JSON writes a character as six at most, a number and a comma as
    /// four.
    fn length(&self) -> usize {
        let length = match self {
            Self::Label(label) => 6 * label.len(),
            Self::Id(id) => 4 * id.len(),
        };
        length + 128
    }
}

impl KeyNews {
    fn length(&self) -> usize {
        let reason = self.rejection.as_ref().map(|(_, reason)| 6 * reason.len());
        self.key.length() + reason.unwrap_or_default()
    }

    /// The state of this key.
    pub fn new(
        key: &KeySelector,
        state: KeyState,
        rejection: Option<(KeyManagerFault, &str)>,
    ) -> Self {
        let place = |fault| {
            KeyManagerFault::ALL
                .iter()
                .position(|other| *other == fault)
        };
        Self {
            key: key.into(),
            present: match state {
                KeyState::Missing => None,
                KeyState::Present {
                    encrypts,
                    decrypts,
                    is_duplicated,
                } => Some((encrypts, decrypts, is_duplicated)),
            },
            rejection: rejection.and_then(|(fault, reason)| {
                Some((place(fault)?, short(reason, MAX_REASON).to_owned()))
            }),
        }
    }

    /// Its state.
    pub fn state(&self) -> KeyState {
        match self.present {
            None => KeyState::Missing,
            Some((encrypts, decrypts, is_duplicated)) => KeyState::Present {
                encrypts,
                decrypts,
                is_duplicated,
            },
        }
    }

    /// Why a proof rejected it, if one did. A fault that does not exist counts as "the key does not work".
    pub fn rejection(&self) -> Option<(KeyManagerFault, &str)> {
        let (place, reason) = self.rejection.as_ref()?;
        let fault = KeyManagerFault::ALL.get(*place).copied();
        Some((fault.unwrap_or(KeyManagerFault::KeyBlocked), reason))
    }
}

impl Order {
    /// The frames that say which keys are expected.
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

    /// The frames that say which objects were proved.
    pub fn proved(objects: &[ProofId]) -> impl Iterator<Item = Self> + '_ {
        objects
            .chunks(PROOFS_PER_FRAME)
            .map(|objects| Self::Proved(objects.to_vec()))
    }

    /// The frame.
    ///
    /// # Errors
    /// [`ControlError`] when it would be too long; so for [`News::to_frame`].
    pub fn to_frame(&self) -> Result<Vec<u8>, ControlError> {
        to_frame(self)
    }

    /// What a frame says.
    ///
    /// # Errors
    /// [`ControlError`] when it is not an order.
    pub fn from_frame(frame: &[u8]) -> Result<Self, ControlError> {
        from_frame(frame)
    }
}

impl News {
    /// A check that worked and took this long for one operation.
    pub fn healthy(operation: Duration) -> Self {
        Self::Checked {
            health: Health::Healthy,
            reason: String::new(),
            operation_micros: u64::try_from(operation.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// The frames that report on these keys.
    pub fn of_keys(keys: &[KeyNews]) -> impl Iterator<Item = Self> + '_ {
        chunks(keys, KeyNews::length)
            .into_iter()
            .map(|keys| Self::Keys(keys.to_vec()))
    }

    /// The frame.
    ///
    /// # Errors
    /// See [`Order::to_frame`].
    pub fn to_frame(&self) -> Result<Vec<u8>, ControlError> {
        to_frame(self)
    }

    /// What a frame says.
    ///
    /// # Errors
    /// [`ControlError`] when it is not a report.
    pub fn from_frame(frame: &[u8]) -> Result<Self, ControlError> {
        from_frame(frame)
    }
}

/// The items in groups of at most [`KEYS_PER_FRAME`] bytes, or of one item.
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
