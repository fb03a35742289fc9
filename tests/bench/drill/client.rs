//! One caller with a connection of its own, which judges every answer.

use std::sync::Arc;
use std::thread;

use serde_json::Value;

use crate::connection::{Answer, Outcome, TlsConnection};
use crate::messages::{self, Sealed};
use crate::target::Proxy;

const ENCRYPT: &str = "encrypt";
const DECRYPT: &str = "decrypt";

/// Callers that check ciphertexts at once.
const CHECKERS: usize = 8;

/// A ciphertext may meet a device that has just been lost: what counts is whether it can be read at all.
const ATTEMPTS: usize = 20;

/// How a request failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// It was refused, with this status and error name: KMS tries again, or tells its caller.
    Refused(u16, String),
    /// There was no answer.
    NoAnswer(String),
    /// An answer that is not true: another plaintext, a wrong integrity value, or the blame on a request that was right.
    Wrong(String),
}

/// A caller.
pub struct Client {
    proxy: Arc<Proxy>,
    connection: Option<TlsConnection>,
}

impl Client {
    /// A caller that is connected.
    pub fn connect(proxy: &Arc<Proxy>) -> Outcome<Self> {
        Ok(Self {
            connection: Some(proxy.server.connect()?),
            proxy: Arc::clone(proxy),
        })
    }

    /// Encrypt number `number`, with its integrity value.
    pub fn encrypt(&mut self, number: u64) -> Result<Sealed, Failure> {
        let body = self.success(ENCRYPT, &messages::encrypt_with_integrity_value(number))?;
        Sealed::of_answer(number, &body)
            .ok_or_else(|| Failure::Wrong("an Encrypt that does not fit together".into()))
    }

    /// Decrypt.
    pub fn decrypt(&mut self, sealed: &Sealed) -> Result<(), Failure> {
        let body = self.success(DECRYPT, &messages::decrypt(sealed))?;
        match sealed.is_opened_by(&body) {
            true => Ok(()),
            false => Err(Failure::Wrong("another plaintext".into())),
        }
    }

    /// A request that was signed before: whether it was done.
    pub fn sent(&mut self, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let answer = self.send(request);
        let answer = answer.map_err(|error| Failure::NoAnswer(error.to_string()))?;
        match answer.status {
            200 => Ok(answer.body),
            // Every request here is right, so whoever blames it is wrong.
            400..=428 => Err(Failure::Wrong(described(&answer))),
            status => Err(Failure::Refused(status, error_name(&answer))),
        }
    }

    /// Closes its connection; the next request has a new one.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// GetHealthStatus: whether it was answered.
    pub fn health(&mut self) -> Outcome<()> {
        let request = self.proxy.request("health", &messages::health())?;
        match self.send(&request)?.status {
            200 => Ok(()),
            status => Err(format!("health: {status}").into()),
        }
    }

    /// Sends the bytes of a request, on a new connection if the last one broke.
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

/// The bytes of an Encrypt that may be sent again and again, for as long as its signature is good: five minutes.
pub fn encrypt_request(proxy: &Proxy) -> Outcome<Vec<u8>> {
    proxy.key_request(ENCRYPT, &messages::encrypt(0))
}

/// How many of these ciphertexts cannot be decrypted.
pub fn unreadable(proxy: &Arc<Proxy>, sealed: &[Sealed]) -> Outcome<usize> {
    let share = sealed.len().div_ceil(CHECKERS).max(1);
    thread::scope(|scope| {
        let checkers: Vec<_> = sealed
            .chunks(share)
            .map(|share| scope.spawn(|| count_unreadable(proxy, share)))
            .collect();
        let mut count = 0;
        for checker in checkers {
            count += checker.join().map_err(|_| "a checking thread died")??;
        }
        Ok(count)
    })
}

fn count_unreadable(proxy: &Arc<Proxy>, sealed: &[Sealed]) -> Outcome<usize> {
    let mut client = Client::connect(proxy)?;
    let mut is_readable = |one: &Sealed| (0..ATTEMPTS).any(|_| client.decrypt(one).is_ok());
    Ok(sealed.iter().filter(|one| !is_readable(one)).count())
}

/// The name of an error, as it stands in the answer.
pub fn error_name(answer: &Answer) -> String {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let name = body.as_ref().and_then(|body| body.get("errorName"));
    name.and_then(Value::as_str).unwrap_or("no name").to_owned()
}

fn described(answer: &Answer) -> String {
    format!("{} {}", answer.status, error_name(answer))
}
