//! The protocols of CloudWatch: RPC v2 with CBOR, which the newest SDKs speak, and JSON 1.0.

use http::request::Parts;
use serde_json::{Value, json};

use super::cbor;
use crate::simulator::wire::exception::Exception;

/// How CloudWatch is named in paths and in `X-Amz-Target`.
const SERVICE: &str = "GraniteServiceVersion20100801";

/// A protocol in which CloudWatch is asked, and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Protocol {
    Cbor,
    Json,
}

impl Protocol {
    /// That of a request for CloudWatch; none for another service's.
    pub(in crate::simulator) fn of(head: &Parts) -> Option<Self> {
        let is_json = || target(head).is_some_and(|target| target.starts_with(SERVICE));
        match operation_in_path(head) {
            Some(_) => Some(Self::Cbor),
            None => is_json().then_some(Self::Json),
        }
    }

    /// The content type of answers.
    pub(in crate::simulator) fn content_type(self) -> &'static str {
        match self {
            Self::Cbor => "application/cbor",
            Self::Json => "application/x-amz-json-1.0",
        }
    }

    /// The body of an answer.
    pub(in crate::simulator) fn body(self, answer: &Result<Value, Exception>) -> Vec<u8> {
        let refused =
            |error: &Exception| json!({ "__type": error.kind.name(), "message": error.message });
        let value = answer.as_ref().map_or_else(refused, Value::clone);
        match self {
            Self::Cbor => cbor::encode(&value),
            Self::Json => value.to_string().into_bytes(),
        }
    }
}

/// The operation in the path of an RPC v2 request.
pub(in crate::simulator) fn operation_in_path(head: &Parts) -> Option<&str> {
    let path = head.uri.path().strip_prefix("/service/")?;
    path.strip_prefix(SERVICE)?.strip_prefix("/operation/")
}

/// The `X-Amz-Target` of a JSON request.
pub(in crate::simulator) fn target(head: &Parts) -> Option<&str> {
    head.headers.get("x-amz-target")?.to_str().ok()
}
