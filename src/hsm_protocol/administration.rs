//! The frames between an operator command and its worker. Each frame is one JSON value of at most [`MAX_CONTROL_FRAME`] bytes.
//!
//! The command sends one [`Request`] at a time. The worker answers with one [`Answer`], or with several `Answer::TokenKeys`.
//!
//! # Invariants
//! - These frames differ from those between front and worker: a worker of the service rejects these, and a worker of a command rejects
//!   those.
//! - No frame exports, wraps, unwraps, changes or deletes a key, and no frame contains a PKCS#11 function, attribute or mechanism.
//! - Only a constant of the worker is encrypted, and no frame contains a plaintext.

pub mod token_key;

use serde::{Deserialize, Serialize};

use self::token_key::{GcmFinding, NewKey, TokenKey};
use super::control::{self, ControlError, MAX_CONTROL_FRAME, WireSelector};

/// The maximum size of all keys in one frame, in bytes. It leaves room for the other fields.
const MAX_KEYS_BYTES: usize = MAX_CONTROL_FRAME / 2;

/// The maximum length of the reason in `Answer::RequestFailed`, in characters. In JSON, a character has at most 6 bytes.
const MAX_REASON: usize = 8 * 1_024;

/// The maximum length of all other texts in an answer, in characters.
const MAX_TEXT: usize = 1_024;

/// A ciphertext of the worker's constant, or an HSM signature of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCiphertext {
    /// 12 or 16 bytes.
    pub iv: Vec<u8>,
    /// The ciphertext with the tag behind it.
    pub sealed: Vec<u8>,
}

/// A request of a command. Keys are identified by [`TokenKey::number`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Open the token. The answer is `Answer::TokenOpened`.
    OpenToken,
    /// List the secret keys. The answers are `Answer::TokenKeys`.
    ListKeys,
    /// Check whether the token may have a key of this name, possibly one that cannot be read. The answer is `Answer::Is`.
    MayHave(WireSelector),
    /// Create a key. The answer is `Answer::KeyCreated`.
    CreateKey(NewKey),
    /// Try the operations that the attributes of the key permit. The answer is `Answer::Done`.
    TryKey(u64),
    /// Encrypt the constant. The answer is `Answer::TestEncrypted`.
    EncryptTest(u64),
    /// Check whether the key decrypts this ciphertext to the constant. The answer is `Answer::Is`.
    DecryptsTest(u64, TestCiphertext),
    /// Check whether the key made this ciphertext with this AAD. The answer is `Answer::Is`.
    Authenticates {
        /// The key.
        key: u64,
        /// The additional authenticated data.
        aad: Vec<u8>,
        /// The ciphertext.
        ciphertext: TestCiphertext,
    },
}

/// An answer of the worker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The token is open.
    TokenOpened {
        /// Manufacturer, product and serial number.
        description: String,
        /// The result of the probe for AES-GCM.
        gcm: GcmFinding,
    },
    /// A part of the list of keys.
    TokenKeys {
        /// The keys of this part.
        keys: Vec<TokenKey>,
        /// True if this is the last part.
        is_last: bool,
        /// The number of keys that cannot be read, and the reason. Only in the last part.
        unreadable: Option<String>,
    },
    /// The key that was created.
    KeyCreated(TokenKey),
    /// The ciphertext.
    TestEncrypted(TestCiphertext),
    /// The answer to a question.
    Is(bool),
    /// The key works.
    Done,
    /// The request failed. The text is for the operator.
    RequestFailed(String),
}

impl Request {
    /// Encodes the request.
    ///
    /// # Errors
    /// [`ControlError`] when the frame would be too long.
    pub fn to_frame(&self) -> Result<Vec<u8>, ControlError> {
        control::to_frame(self)
    }

    /// Parses a frame.
    ///
    /// # Errors
    /// [`ControlError`] when it is not a request.
    pub fn from_frame(frame: &[u8]) -> Result<Self, ControlError> {
        control::from_frame(frame)
    }
}

impl Answer {
    /// Creates `Answer::TokenOpened`. Long texts are cut.
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

    /// Creates `Answer::RequestFailed`. A long reason is cut.
    pub fn failed(reason: &str) -> Self {
        Self::RequestFailed(cut(reason, MAX_REASON))
    }

    /// Creates the answers for all these keys. Keys whose label and id are too long for a frame are counted as keys that cannot be read.
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

    /// Encodes the answer.
    ///
    /// # Errors
    /// [`ControlError`] when the frame would be too long.
    pub fn to_frame(&self) -> Result<Vec<u8>, ControlError> {
        control::to_frame(self)
    }

    /// Parses a frame.
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
