//! A client with its own connection that checks every response.

use std::sync::Arc;
use std::thread;

use serde_json::Value;

use crate::connection::{Answer, Outcome, TlsConnection};
use crate::messages::{self, Ciphertext};
use crate::target::Proxy;

const ENCRYPT: &str = "encrypt";
const DECRYPT: &str = "decrypt";

/// The clients that check ciphertexts at the same time.
const CHECKERS: usize = 8;

/// The attempts to decrypt a ciphertext: a device may just have failed, and the check is whether the ciphertext is readable.
const ATTEMPTS: usize = 20;

/// The type of a failure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The request was rejected with this status and error name. KMS retries, or returns an error to its caller.
    Refused(u16, String),
    /// The request has no response.
    NoAnswer(String),
    /// A false response: a different plaintext, a wrong integrity value, or an error that blames a valid request.
    Wrong(String),
}

/// A client.
pub struct Client {
    proxy: Arc<Proxy>,
    connection: Option<TlsConnection>,
}

impl Client {
    /// Connects.
    pub fn connect(proxy: &Arc<Proxy>) -> Outcome<Self> {
        Ok(Self {
            connection: Some(proxy.server.connect()?),
            proxy: Arc::clone(proxy),
        })
    }

    /// Sends Encrypt number `number`, with its integrity value.
    pub fn encrypt(&mut self, number: u64) -> Result<Ciphertext, Failure> {
        let body = self.success(ENCRYPT, &messages::encrypt_with_integrity_value(number))?;
        Ciphertext::from_response(number, &body)
            .ok_or_else(|| Failure::Wrong("an inconsistent Encrypt response".into()))
    }

    /// Sends Decrypt.
    pub fn decrypt(&mut self, ciphertext: &Ciphertext) -> Result<(), Failure> {
        let body = self.success(DECRYPT, &messages::decrypt(ciphertext))?;
        match ciphertext.matches(&body) {
            true => Ok(()),
            false => Err(Failure::Wrong("another plaintext".into())),
        }
    }

    /// Sends a signed request, and returns the body of its response.
    pub fn sent(&mut self, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let answer = self.send(request);
        let answer = answer.map_err(|error| Failure::NoAnswer(error.to_string()))?;
        match answer.status {
            200 => Ok(answer.body),
            // Every request here is valid, so an error that blames the request is wrong.
            400..=428 => Err(Failure::Wrong(described(&answer))),
            status => Err(Failure::Refused(status, error_name(&answer))),
        }
    }

    /// Closes the connection. The next request opens a new one.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Sends GetHealthStatus, and expects success.
    pub fn health(&mut self) -> Outcome<()> {
        let request = self.proxy.request("health", &messages::health())?;
        match self.send(&request)?.status {
            200 => Ok(()),
            status => Err(format!("health: {status}").into()),
        }
    }

    /// Sends the bytes of a request, on a new connection if the last one failed.
    pub fn send(&mut self, request: &[u8]) -> Outcome<Answer> {
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => self.proxy.server.connect()?,
        };
        let answer = connection.exchange(request)?;
        self.connection = Some(connection);
        Ok(answer)
    }

    fn success(&mut self, operation: &str, body: &Value) -> Result<Vec<u8>, Failure> {
        let request = self.proxy.key_request(operation, body);
        let request = request.map_err(|error| Failure::NoAnswer(error.to_string()))?;
        self.sent(&request)
    }
}

/// Returns the bytes of an Encrypt. They can be sent again while the signature is valid: five minutes.
pub fn encrypt_request(proxy: &Proxy) -> Outcome<Vec<u8>> {
    proxy.key_request(ENCRYPT, &messages::encrypt(0))
}

/// Returns how many of these ciphertexts cannot be decrypted.
pub fn unreadable(proxy: &Arc<Proxy>, ciphertexts: &[Ciphertext]) -> Outcome<usize> {
    let share = ciphertexts.len().div_ceil(CHECKERS).max(1);
    thread::scope(|scope| {
        let checkers: Vec<_> = ciphertexts
            .chunks(share)
            .map(|share| scope.spawn(|| count_unreadable(proxy, share)))
            .collect();
        let mut count = 0;
        for checker in checkers {
            count += checker.join().map_err(|_| "a checking thread panicked")??;
        }
        Ok(count)
    })
}

fn count_unreadable(proxy: &Arc<Proxy>, ciphertexts: &[Ciphertext]) -> Outcome<usize> {
    let mut client = Client::connect(proxy)?;
    let mut is_readable = |one: &Ciphertext| (0..ATTEMPTS).any(|_| client.decrypt(one).is_ok());
    Ok(ciphertexts.iter().filter(|one| !is_readable(one)).count())
}

/// Returns the error name of a response.
pub fn error_name(answer: &Answer) -> String {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let name = body.as_ref().and_then(|body| body.get("errorName"));
    name.and_then(Value::as_str).unwrap_or("no name").to_owned()
}

fn described(answer: &Answer) -> String {
    format!("{} {}", answer.status, error_name(answer))
}
