//! The frames between a command of the operator and its worker. Each frame is one JSON object of at most [`MAX_CONTROL_FRAME`] bytes.
//!
//! The command sends one [`Request`] at a time. The worker answers with one [`Answer`], or with several `Answer::Keys`.
//!
//! # Invariants
//! - No request is an order or a job, and no answer is a report of a worker that serves: a worker of the service rejects these frames, and a
//!   worker of a command rejects those of a front.
//! - No frame exports, wraps, unwraps, changes or deletes a key, and none carries a PKCS#11 function, attribute or mechanism.
//! - What is encrypted is a constant that the worker chooses, and no frame carries a plaintext.

pub mod token_key;

use serde::{Deserialize, Serialize};

use self::token_key::{GcmFinding, NewKey, TokenKey};
use super::control::{self, ControlError, MAX_CONTROL_FRAME, WireSelector};

/// The most bytes of all keys in one frame, so that there is room for the rest of the frame.
const MAX_KEYS_BYTES: usize = MAX_CONTROL_FRAME / 2;

/// The most characters of the reason in `Answer::RequestFailed`; each has at most 6 bytes in JSON.
const MAX_REASON: usize = 8 * 1_024;

/// The most characters of any other text in an answer.
const MAX_TEXT: usize = 1_024;

/// A ciphertext of the worker's constant, or a seal of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCiphertext {
    /// 12 or 16 bytes.
    pub iv: Vec<u8>,
    /// The ciphertext with the tag behind it.
    pub sealed: Vec<u8>,
}

/// What a command asks of its worker. Keys are named by [`TokenKey::number`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Open the token. The answer is `Answer::Opened`.
    OpenToken,
    /// List the secret keys. The answer is `Answer::Keys`.
    ListKeys,
    /// Whether the token has a key of this name, perhaps one that cannot be read. The answer is `Answer::Is`.
    MayHave(WireSelector),
    /// Make a key. The answer is `Answer::Created`.
    CreateKey(NewKey),
    /// Use the key as far as its attributes permit. The answer is `Answer::Done`.
    TryKey(u64),
    /// Encrypt the constant. The answer is `Answer::Encrypted`.
    EncryptTest(u64),
    /// Whether the key decrypts this to the constant. The answer is `Answer::Is`.
    DecryptsTest(u64, TestCiphertext),
    /// Whether the key made this ciphertext with this AAD. The answer is `Answer::Is`.
    Authenticates {
        /// The key.
        key: u64,
        /// The additional authenticated data.
        aad: Vec<u8>,
        /// The ciphertext.
        ciphertext: TestCiphertext,
    },
}

/// What the worker answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The token is open.
    TokenOpened {
        /// Maker, product and serial number.
        description: String,
        /// How it does AES-GCM.
        gcm: GcmFinding,
    },
    /// A part of the list.
    TokenKeys {
        /// Keys.
        keys: Vec<TokenKey>,
        /// Whether this is the last part.
        is_last: bool,
        /// How many keys cannot be read, and why; in the last part.
        unreadable: Option<String>,
    },
    /// The key that was made.
    KeyCreated(TokenKey),
    /// The ciphertext.
    TestEncrypted(TestCiphertext),
    /// The answer to a question.
    Is(bool),
    /// The key works.
    Done,
    /// The request failed; why, for the operator.
    RequestFailed(String),
}

impl Request {
    /// The frame.
    ///
    /// # Errors
    /// [`ControlError`] when it would be too long; so for [`Answer::to_frame`].
    pub fn to_frame(&self) -> Result<Vec<u8>, ControlError> {
        control::to_frame(self)
    }

    /// What a frame says.
    ///
    /// # Errors
    /// [`ControlError`] when it is not a request.
    pub fn from_frame(frame: &[u8]) -> Result<Self, ControlError> {
        control::from_frame(frame)
    }
}

impl Answer {
    /// The answer that the token is open. Long texts are cut off.
    pub fn opened(description: &str, gcm: &GcmFinding) -> Self {
        let cut = |text: &str| cut(text, MAX_TEXT * 3);
        Self::TokenOpened {
            description: cut(description),
            gcm: match gcm {
                GcmFinding::Proved(plan) => GcmFinding::Proved(cut(plan)),
                GcmFinding::Unproved(plan, why) => GcmFinding::Unproved(cut(plan), cut(why)),
                GcmFinding::Unusable(why) => GcmFinding::Unusable(cut(why)),
            },
        }
    }

    /// The answer that a request failed. A long reason is cut off.
    pub fn failed(reason: &str) -> Self {
        Self::RequestFailed(cut(reason, MAX_REASON))
    }

    /// The answers with all of these keys. A key whose label and id are too long for a frame is reported as one that cannot be read.
    pub fn of_keys(keys: Vec<TokenKey>, unreadable: Option<String>) -> Vec<Self> {
        let mut parts = vec![Vec::new()];
        let (mut length, mut left_out) = (0, 0_usize);
        for key in keys {
            let own = serde_json::to_vec(&key).map_or(usize::MAX, |encoded| encoded.len() + 1);
            if own > MAX_KEYS_BYTES {
                left_out += 1;
                continue;
            }
            if length + own > MAX_KEYS_BYTES {
                parts.push(Vec::new());
                length = 0;
            }
            length += own;
            parts
                .last_mut()
                .into_iter()
                .for_each(|part| part.push(key.clone()));
        }
        let too_long = (left_out > 0)
            .then(|| format!("keys of the token whose names are too long: {left_out}"));
        let unreadable = unreadable.or(too_long);
        let unreadable = unreadable.map(|reason| cut(&reason, MAX_TEXT));
        let count = parts.len();
        let part = |(at, keys)| Self::TokenKeys {
            keys,
            is_last: at + 1 == count,
            unreadable: unreadable.clone().filter(|_| at + 1 == count),
        };
        parts.into_iter().enumerate().map(part).collect()
    }

    /// The frame.
    ///
    /// # Errors
    /// See [`Request::to_frame`].
    pub fn to_frame(&self) -> Result<Vec<u8>, ControlError> {
        control::to_frame(self)
    }

    /// What a frame says.
    ///
    /// # Errors
    /// [`ControlError`] when it is not an answer.
    pub fn from_frame(frame: &[u8]) -> Result<Self, ControlError> {
        control::from_frame(frame)
    }
}

fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

#[cfg(test)]
mod tests;
