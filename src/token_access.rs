//! A token as a command of the operator uses it: opened in a worker of the command, so that a library that hangs or crashes costs the command
//! this token and nothing else.
//!
//! ```text
//! command ── Request ──▶ worker ── PKCS#11 ──▶ HSM        one request at a time
//! ```
//!
//! # Invariants
//! - Each request has a time limit. A worker that exceeds it is killed, and every later request fails at once with the same error.
//! - What the worker sends is checked: a wrong answer is an error of the token, and a list has a limit.
//! - Texts of the worker hold no control characters.

mod connection;
mod worker;

use std::cell::RefCell;

pub use connection::{TokenError, TokenKeys};
pub use worker::{StartWorker, Worker, WorkerFault};

use crate::ekm::KeySelector;
use crate::hsm_protocol::administration::{Answer, Request, TestCiphertext};
use crate::hsm_protocol::{GcmFinding, HsmSettings, NewKey, TokenKey};
use connection::{Connection, REQUEST_TIMEOUT, printable, printable_finding};

/// A token with its user logged in.
pub struct OpenToken {
    connection: RefCell<Connection>,
    description: String,
    gcm: GcmFinding,
}

impl OpenToken {
    /// Starts a worker, which finds the token, checks that it has AES-GCM, logs in, and probes how it does AES-GCM.
    ///
    /// # Errors
    /// When one of these fails or takes longer than `open_timeout`.
    pub fn open(workers: &dyn StartWorker, settings: &HsmSettings) -> Result<Self, TokenError> {
        let mut connection = Connection {
            worker: workers.start(&settings.name).map_err(WorkerFault::from)?,
            fault: None,
        };
        match connection.ask(&Request::OpenToken, settings.open_timeout)? {
            Answer::TokenOpened { description, gcm } => Ok(Self {
                description: printable(&description),
                gcm: printable_finding(&gcm),
                connection: RefCell::new(connection),
            }),
            _ => Err(connection.broken("an answer to a different request")),
        }
    }

    /// What it says of itself: maker, product and serial number.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// How it did AES-GCM when it was opened.
    pub fn gcm(&self) -> &GcmFinding {
        &self.gcm
    }

    /// Why the token cannot be used any more, if its worker hung, ended or sent a wrong answer.
    pub fn fault(&self) -> Option<TokenError> {
        self.connection.borrow().fault.clone()
    }

    /// The secret keys of the token, and whether some cannot be read.
    ///
    /// # Errors
    /// When the token fails; so for the others.
    pub fn list_keys(&self) -> Result<TokenKeys, TokenError> {
        self.connection.borrow_mut().list_keys()
    }

    /// Whether the token has a key of this name, perhaps one that cannot be read. A search that fails shows nothing.
    pub fn may_have(&self, name: &KeySelector) -> bool {
        self.is(&Request::MayHave(name.into())).unwrap_or(true)
    }

    /// Makes a key, reads it back and uses it.
    ///
    /// # Errors
    /// Why there is no new key, or which key was made that cannot be used.
    pub fn create(&self, new: &NewKey) -> Result<TokenKey, TokenError> {
        match self.ask(&Request::CreateKey(new.clone()))? {
            Answer::KeyCreated(key) => Ok(key),
            _ => Err(self.broken()),
        }
    }

    /// Uses the key as far as its attributes permit: encrypts a constant and decrypts what came out.
    ///
    /// # Errors
    /// Describes what does not work; the text continues "the key …".
    pub fn try_key(&self, key: &TokenKey) -> Result<(), String> {
        let cannot_be_tried = |error: TokenError| format!("cannot be tried: {error}");
        let frame = Request::TryKey(key.number);
        let answer = self
            .connection
            .borrow_mut()
            .exchange(&frame, REQUEST_TIMEOUT);
        match answer.map_err(cannot_be_tried)? {
            Answer::Done => Ok(()),
            Answer::RequestFailed(reason) => Err(printable(&reason)),
            _ => Err(cannot_be_tried(self.broken())),
        }
    }

    /// Encrypts a constant under the key.
    ///
    /// # Errors
    /// When the key may not encrypt, or the token fails.
    pub fn seal(&self, key: &TokenKey) -> Result<TestCiphertext, TokenError> {
        match self.ask(&Request::EncryptTest(key.number))? {
            Answer::TestEncrypted(ciphertext) => Ok(ciphertext),
            _ => Err(self.broken()),
        }
    }

    /// Whether this token's key is the one that [`OpenToken::seal`] was called for, here or on another token.
    ///
    /// # Errors
    /// When the key may not decrypt, or the token fails.
    pub fn opens(&self, key: &TokenKey, sealed: &TestCiphertext) -> Result<bool, TokenError> {
        self.is(&Request::DecryptsTest(key.number, sealed.clone()))
    }

    /// Whether this ciphertext was made under this token's key with this AAD.
    ///
    /// # Errors
    /// As for [`OpenToken::opens`].
    pub fn authenticates(
        &self,
        key: &TokenKey,
        aad: &[u8],
        ciphertext: TestCiphertext,
    ) -> Result<bool, TokenError> {
        self.is(&Request::Authenticates {
            key: key.number,
            aad: aad.to_owned(),
            ciphertext,
        })
    }

    fn is(&self, request: &Request) -> Result<bool, TokenError> {
        match self.ask(request)? {
            Answer::Is(answer) => Ok(answer),
            _ => Err(self.broken()),
        }
    }

    fn ask(&self, request: &Request) -> Result<Answer, TokenError> {
        self.connection.borrow_mut().ask(request, REQUEST_TIMEOUT)
    }

    fn broken(&self) -> TokenError {
        let mut connection = self.connection.borrow_mut();
        connection.broken("an answer to a different request")
    }
}

#[cfg(test)]
mod tests;
