//! The context of a running case: calls to the target, recorded with their responses.

use std::cell::RefCell;

use serde_json::Value;

use super::body::{self, Encrypted, Op, set_aad};
use super::case_error::{CaseError, StepResult, violation};
use super::check;
use super::target::Target;
use super::wire::{Connection, Request, Response, Tls};

/// The longest text of a request or an answer in a report.
const SHOWN: usize = 600;

/// A request and its response, shortened. It contains no header: a report may be shared, and a header contains the signature.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Request line and body.
    pub sent: String,
    /// Status and body, or how the connection ended.
    pub received: String,
}

pub(super) struct Context<'a> {
    pub(super) target: &'a Target,
    exchanges: RefCell<Vec<Exchange>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(target: &'a Target) -> Self {
        let exchanges = RefCell::default();
        Self { target, exchanges }
    }

    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.borrow().clone()
    }

    pub(super) fn key(&self) -> &'a str {
        &self.target.keys.main
    }

    pub(super) fn second(&self) -> Result<&'a str, CaseError> {
        given(self.target.keys.second.as_ref(), "--second-key")
    }

    pub(super) fn encrypt_only(&self) -> Result<&'a str, CaseError> {
        let key = self.target.keys.encrypt_only.as_ref();
        given(key, "--encrypt-only-key")
    }

    pub(super) fn decrypt_only(&self) -> Result<&'a str, CaseError> {
        let key = self.target.keys.decrypt_only.as_ref();
        given(key, "--decrypt-only-key")
    }

    pub(super) fn disabled(&self) -> Result<&'a str, CaseError> {
        given(self.target.keys.disabled.as_ref(), "--disabled-key")
    }

    pub(super) fn path(&self, op: Op, key: &str) -> String {
        let path = &self.target.path;
        match op {
            Op::Health => format!("{path}/health"),
            _ => format!("{path}/keys/{key}/{}", op.name()),
        }
    }

    pub(super) fn unsigned(&self, op: Op, key: &str, body: impl Into<Vec<u8>>) -> Request {
        let authority = self.target.endpoint.authority();
        Request::post(&self.path(op, key), &authority, body)
    }

    pub(super) fn signed(&self, op: Op, key: &str, body: impl Into<Vec<u8>>) -> Request {
        let request = self.unsigned(op, key, body);
        self.target.signer.now().sign(&request)
    }

    pub(super) fn connect(&self, tls: &Tls) -> Result<Connection, CaseError> {
        let opened = tls.config().map_err(std::io::Error::other);
        let opened = opened.and_then(|config| Connection::open(&self.target.endpoint, config));
        opened.map_err(|error| CaseError::Violation(format!("no TLS connection: {error}")))
    }

    /// Sends a request on a new connection. The end of the connection without a response is a violation.
    pub(super) fn send(&self, request: &Request) -> Result<Response, CaseError> {
        self.send_on(&mut self.connect(&self.target.tls)?, request)
    }

    pub(super) fn send_on(
        &self,
        connection: &mut Connection,
        request: &Request,
    ) -> Result<Response, CaseError> {
        match self.try_on(connection, request)? {
            Some(response) => Ok(response),
            None => violation("the proxy closed the connection without a response"),
        }
    }

    /// Sends a request on this connection. The end of the connection is a valid result.
    pub(super) fn try_on(
        &self,
        connection: &mut Connection,
        request: &Request,
    ) -> Result<Option<Response>, CaseError> {
        let sent = format!("{} {}", request.method, request.target);
        let sent = format!("{sent} {}", String::from_utf8_lossy(&request.body));
        let answer = connection.exchange(request);
        let received = match &answer {
            Ok(Some(answer)) => shown(answer),
            Ok(None) => "the proxy closed the connection".to_owned(),
            Err(error) => error.to_string(),
        };
        self.remember(&sent, received.clone());
        answer.map_err(|_| CaseError::Violation(format!("no response: {received}")))
    }

    pub(super) fn remember(&self, sent: &str, received: String) {
        let sent = sent.chars().take(SHOWN).collect();
        let mut exchanges = self.exchanges.borrow_mut();
        exchanges.push(Exchange { sent, received });
    }

    pub(super) fn call(&self, op: Op, key: &str, body: &Value) -> Result<Response, CaseError> {
        self.send(&self.signed(op, key, body.to_string()))
    }

    /// Calls an operation, which must succeed.
    pub(super) fn ok(&self, op: Op, key: &str, body: &Value) -> Result<Value, CaseError> {
        check::success(&self.call(op, key, body)?)
    }

    /// Calls an operation, which must return this error.
    pub(super) fn rejected(
        &self,
        op: Op,
        key: &str,
        body: &Value,
        wanted: (u16, &str),
    ) -> StepResult {
        check::error(&self.call(op, key, body)?, &[wanted])
    }

    /// Returns a body with `requestMetadata` only.
    pub(super) fn plain_body(&self, op: Op) -> Value {
        body::plain(self.region(), op)
    }

    pub(super) fn encrypt_body(&self, plaintext: &[u8]) -> Value {
        body::encrypt(self.region(), plaintext)
    }

    pub(super) fn decrypt_body(&self, encrypted: &Encrypted) -> Value {
        body::decrypt(self.region(), encrypted)
    }

    /// Returns a body that the operation accepts.
    pub(super) fn good_body(&self, op: Op) -> Result<Value, CaseError> {
        match op {
            Op::Encrypt => Ok(self.encrypt_body(b"conformance")),
            Op::Decrypt => Ok(self.decrypt_body(&self.encrypt(b"conformance", None)?)),
            Op::Metadata | Op::Health => Ok(self.plain_body(op)),
        }
    }

    fn region(&self) -> &str {
        &self.target.signer.region
    }

    pub(super) fn encrypt(
        &self,
        plaintext: &[u8],
        aad: Option<&[u8]>,
    ) -> Result<Encrypted, CaseError> {
        let mut body = self.encrypt_body(plaintext);
        set_aad(&mut body, aad);
        check::encrypted(self.ok(Op::Encrypt, self.key(), &body)?)
    }

    pub(super) fn decrypt(
        &self,
        encrypted: &Encrypted,
        aad: Option<&[u8]>,
    ) -> Result<Vec<u8>, CaseError> {
        let mut body = self.decrypt_body(encrypted);
        set_aad(&mut body, aad);
        let answer = self.ok(Op::Decrypt, self.key(), &body)?;
        check::bytes(&answer, "plaintext")
    }

    /// Sends a changed ciphertext, which must not decrypt.
    pub(super) fn rejects_changed(&self, encrypted: &Encrypted, aad: Option<&[u8]>) -> StepResult {
        let mut body = self.decrypt_body(encrypted);
        set_aad(&mut body, aad);
        self.rejected(Op::Decrypt, self.key(), &body, check::INVALID_CIPHERTEXT)
    }
}

/// Returns the key id of an option, or the reason to skip the case.
fn given<'a>(key: Option<&'a String>, option: &str) -> Result<&'a str, CaseError> {
    key.map(String::as_str)
        .ok_or_else(|| CaseError::Skipped(format!("{option} was not given")))
}

fn shown(answer: &Response) -> String {
    let body: String = String::from_utf8_lossy(&answer.body)
        .chars()
        .take(SHOWN)
        .collect();
    format!("{} {body}", answer.status)
}
