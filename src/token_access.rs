//! Access to a token for commands of the operator. A worker process opens the token, so a library that hangs or crashes affects only
//! this token.
//!
//! ```text
//! command ── Request ──▶ worker ── PKCS#11 ──▶ HSM        one request at a time
//! ```
//!
//! # Invariants
//! - Each request has a time limit. A worker that exceeds it is killed, and every later request fails at once with the same error.
//! - Answers of the worker are checked: a wrong answer is an error of the token, and lists have a maximum length.
//! - Control characters are removed from texts of the worker.

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
    /// Starts a worker, which finds the token, checks that it supports AES-GCM, logs in, and probes the GCM profile.
    ///
    /// # Errors
    /// If one of these steps fails, or all of them take longer than `open_timeout`.
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

    /// Vendor, product and serial number of the token.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// The GCM profile that was found when the token was opened.
    pub fn gcm(&self) -> &GcmFinding {
        &self.gcm
    }

    /// Why the token can no longer be used: its worker hung, ended or sent a wrong answer.
    pub fn fault(&self) -> Option<TokenError> {
        self.connection.borrow().fault.clone()
    }

    /// Returns the secret keys of the token.
    ///
    /// # Errors
    /// If the token fails.
    pub fn list_keys(&self) -> Result<TokenKeys, TokenError> {
        self.connection.borrow_mut().list_keys()
    }

    /// Returns whether the token may have a key of this name, including keys that cannot be read; `true` if the search fails.
    pub fn may_have(&self, name: &KeySelector) -> bool {
        self.is(&Request::MayHave(name.into())).unwrap_or(true)
    }

    /// Creates a key, reads it back and uses it.
    ///
    /// # Errors
    /// If no key was created, or the new key cannot be used; the message names the case.
    pub fn create(&self, new: &NewKey) -> Result<TokenKey, TokenError> {
        match self.ask(&Request::CreateKey(new.clone()))? {
            Answer::KeyCreated(key) => Ok(key),
            _ => Err(self.broken()),
        }
    }

    /// Uses the key as far as its attributes permit: encrypts a constant and decrypts the ciphertext.
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
    /// If the key must not encrypt, or the token fails.
    pub fn seal(&self, key: &TokenKey) -> Result<TestCiphertext, TokenError> {
        match self.ask(&Request::EncryptTest(key.number))? {
            Answer::TestEncrypted(ciphertext) => Ok(ciphertext),
            _ => Err(self.broken()),
        }
    }

    /// Returns whether this key decrypts a ciphertext of [`OpenToken::seal`], from this token or another one.
    ///
    /// # Errors
    /// If the key must not decrypt, or the token fails.
    pub fn opens(&self, key: &TokenKey, sealed: &TestCiphertext) -> Result<bool, TokenError> {
        self.is(&Request::DecryptsTest(key.number, sealed.clone()))
    }

    /// Returns whether this ciphertext was encrypted with this key and this AAD.
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
