//! Where a case plays: calls to the target, each remembered with its answer.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::case::{Fault, Judged, violation};
use super::check;
use super::target::Target;
use super::wire::{Connection, Request, Response, Tls};

/// The longest text of a request or an answer in a report.
const SHOWN: usize = 600;

/// What was sent and what came back, shortened. Never a header: a report outlives a signature, but need not hold one.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Request line and body.
    pub sent: String,
    /// Status and body, or how the connection ended.
    pub received: String,
}

/// The four operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Metadata,
    Encrypt,
    Decrypt,
    Health,
}

impl Op {
    pub(super) const ALL: [Self; 4] = [Self::Metadata, Self::Encrypt, Self::Decrypt, Self::Health];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Health => "health",
        }
    }
}

/// What Encrypt answered, decoded.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) body: Value,
    pub(super) ciphertext: Vec<u8>,
    pub(super) iv: Vec<u8>,
    pub(super) tag: Vec<u8>,
    pub(super) metadata: Vec<u8>,
}

pub(super) struct Scene<'a> {
    pub(super) target: &'a Target,
    exchanges: RefCell<Vec<Exchange>>,
}

impl<'a> Scene<'a> {
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

    pub(super) fn second(&self) -> Result<&'a str, Fault> {
        given(self.target.keys.second.as_ref(), "--second-key")
    }

    pub(super) fn encrypt_only(&self) -> Result<&'a str, Fault> {
        let key = self.target.keys.encrypt_only.as_ref();
        given(key, "--encrypt-only-key")
    }

    pub(super) fn decrypt_only(&self) -> Result<&'a str, Fault> {
        let key = self.target.keys.decrypt_only.as_ref();
        given(key, "--decrypt-only-key")
    }

    pub(super) fn disabled(&self) -> Result<&'a str, Fault> {
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
        let authority = self.target.place.authority();
        Request::post(&self.path(op, key), &authority, body)
    }

    pub(super) fn signed(&self, op: Op, key: &str, body: impl Into<Vec<u8>>) -> Request {
        let request = self.unsigned(op, key, body);
        self.target.signer.now().sign(&request)
    }

    pub(super) fn connect(&self, tls: &Tls) -> Result<Connection, Fault> {
        let opened = tls.config().map_err(std::io::Error::other);
        let opened = opened.and_then(|config| Connection::open(&self.target.place, config));
        opened.map_err(|error| Fault::Violation(format!("no TLS connection: {error}")))
    }

    /// Sends a request on a connection of its own; a close is a violation.
    pub(super) fn send(&self, request: &Request) -> Result<Response, Fault> {
        self.send_on(&mut self.connect(&self.target.tls)?, request)
    }

    pub(super) fn send_on(
        &self,
        connection: &mut Connection,
        request: &Request,
    ) -> Result<Response, Fault> {
        match self.try_on(connection, request)? {
            Some(response) => Ok(response),
            None => violation("the connection was closed without an answer"),
        }
    }

    /// The same, where a close is an answer too.
    pub(super) fn try_on(
        &self,
        connection: &mut Connection,
        request: &Request,
    ) -> Result<Option<Response>, Fault> {
        let sent = format!("{} {}", request.method, request.target);
        let sent = format!("{sent} {}", String::from_utf8_lossy(&request.body));
        let answer = connection.exchange(request);
        let received = match &answer {
            Ok(Some(answer)) => shown(answer),
            Ok(None) => "the connection was closed".to_owned(),
            Err(error) => error.to_string(),
        };
        self.remember(&sent, received.clone());
        answer.map_err(|_| Fault::Violation(format!("no answer: {received}")))
    }

    pub(super) fn remember(&self, sent: &str, received: String) {
        let sent = sent.chars().take(SHOWN).collect();
        let mut exchanges = self.exchanges.borrow_mut();
        exchanges.push(Exchange { sent, received });
    }

    pub(super) fn call(&self, op: Op, key: &str, body: &Value) -> Result<Response, Fault> {
        self.send(&self.signed(op, key, body.to_string()))
    }

    /// Calls, and takes only the success that the operation has.
    pub(super) fn ok(&self, op: Op, key: &str, body: &Value) -> Result<Value, Fault> {
        check::success(&self.call(op, key, body)?)
    }

    /// Calls, and takes only this error.
    pub(super) fn refused(&self, op: Op, key: &str, body: &Value, wanted: (u16, &str)) -> Judged {
        check::error(&self.call(op, key, body)?, &[wanted])
    }

    pub(super) fn encrypt(&self, plaintext: &[u8], aad: Option<&[u8]>) -> Result<Sealed, Fault> {
        let mut body = encrypt_body(plaintext);
        set_aad(&mut body, aad);
        check::sealed(self.ok(Op::Encrypt, self.key(), &body)?)
    }

    pub(super) fn decrypt(&self, sealed: &Sealed, aad: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
        let mut body = sealed.decrypt_body();
        set_aad(&mut body, aad);
        let answer = self.ok(Op::Decrypt, self.key(), &body)?;
        check::bytes(&answer, "plaintext")
    }

    /// Decrypts what must not be decryptable.
    pub(super) fn corrupt(&self, sealed: &Sealed, aad: Option<&[u8]>) -> Judged {
        let mut body = sealed.decrypt_body();
        set_aad(&mut body, aad);
        self.refused(Op::Decrypt, self.key(), &body, check::INVALID_CIPHERTEXT)
    }

    /// A body that the operation takes.
    pub(super) fn good_body(&self, op: Op) -> Result<Value, Fault> {
        match op {
            Op::Encrypt => Ok(encrypt_body(b"conformance")),
            Op::Decrypt => Ok(self.encrypt(b"conformance", None)?.decrypt_body()),
            Op::Metadata | Op::Health => Ok(plain_body(op)),
        }
    }
}

/// A key id that was given, or the reason to skip.
fn given<'a>(key: Option<&'a String>, option: &str) -> Result<&'a str, Fault> {
    key.map(String::as_str)
        .ok_or_else(|| Fault::Skipped(format!("{option} was not given")))
}

impl Sealed {
    pub(super) fn decrypt_body(&self) -> Value {
        let mut body = json!({
            "requestMetadata": request_metadata(Op::Decrypt),
            "ciphertext": base64(&self.ciphertext),
            "initializationVector": base64(&self.iv),
            "authenticationTag": base64(&self.tag),
            "encryptionAlgorithm": "AES_GCM",
        });
        if !self.metadata.is_empty() {
            set(&mut body, "ciphertextMetadata", base64(&self.metadata));
        }
        body
    }
}

fn shown(answer: &Response) -> String {
    let body: String = String::from_utf8_lossy(&answer.body)
        .chars()
        .take(SHOWN)
        .collect();
    format!("{} {body}", answer.status)
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn set(body: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(object) = body.as_object_mut() {
        object.insert(field.to_owned(), value.into());
    }
}

pub(super) fn unset(body: &mut Value, field: &str) {
    if let Some(object) = body.as_object_mut() {
        object.remove(field);
    }
}

/// Changes requestMetadata.
pub(super) fn in_metadata(body: &mut Value, change: impl FnOnce(&mut Value)) {
    if let Some(metadata) = body.get_mut("requestMetadata") {
        change(metadata);
    }
}

pub(super) fn set_aad(body: &mut Value, aad: Option<&[u8]>) {
    if let Some(aad) = aad {
        set(body, "additionalAuthenticatedData", base64(aad));
    }
}

pub(super) fn request_metadata(op: Op) -> Value {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id = format!("conformance-{}-{number}", std::process::id());
    let operation = match op {
        Op::Metadata => "CreateKey",
        Op::Encrypt => "Encrypt",
        Op::Decrypt => "Decrypt",
        Op::Health => "KmsHealthCheck",
    };
    let mut metadata = json!({ "kmsOperation": operation, "kmsRequestId": id });
    if op != Op::Health {
        let principal = "arn:aws:iam::123456789012:user/Conformance";
        set(&mut metadata, "awsPrincipalArn", principal);
    }
    if matches!(op, Op::Encrypt | Op::Decrypt) {
        let key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        set(&mut metadata, "kmsKeyArn", key);
    }
    metadata
}

pub(super) fn plain_body(op: Op) -> Value {
    json!({ "requestMetadata": request_metadata(op) })
}

pub(super) fn encrypt_body(plaintext: &[u8]) -> Value {
    json!({
        "requestMetadata": request_metadata(Op::Encrypt),
        "plaintext": base64(plaintext),
        "encryptionAlgorithm": "AES_GCM",
    })
}
