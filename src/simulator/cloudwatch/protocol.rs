//! The protocols of CloudWatch: RPC v2 with CBOR, which the newest SDKs use, and JSON 1.0.

use http::request::Parts;
use serde_json::{Value, json};

use super::cbor;
use crate::simulator::wire::exception::Exception;

/// The name of CloudWatch in paths and in `X-Amz-Target`.
const SERVICE: &str = "GraniteServiceVersion20100801";

/// A protocol of CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum CloudWatchProtocol {
    Cbor,
    Json,
}

impl CloudWatchProtocol {
    /// Returns the protocol of a request for CloudWatch; none if the request is for KMS.
    pub(in crate::simulator) fn of(head: &Parts) -> Option<Self> {
        let is_json = || target(head).is_some_and(|target| target.starts_with(SERVICE));
        match operation_in_path(head) {
            Some(_) => Some(Self::Cbor),
            None => is_json().then_some(Self::Json),
        }
    }

    /// Returns the content type of responses.
    pub(in crate::simulator) fn content_type(self) -> &'static str {
        match self {
            Self::Cbor => "application/cbor",
            Self::Json => "application/x-amz-json-1.0",
        }
    }

    /// Returns the body of a response.
    pub(in crate::simulator) fn body(self, answer: &Result<Value, Exception>) -> Vec<u8> {
        let error_body =
            |error: &Exception| json!({ "__type": error.kind.name(), "message": error.message });
        let value = answer.as_ref().map_or_else(error_body, Value::clone);
        match self {
            Self::Cbor => cbor::encode(&value),
            Self::Json => value.to_string().into_bytes(),
        }
    }
}

/// Returns the operation in the path of an RPC v2 request.
pub(in crate::simulator) fn operation_in_path(head: &Parts) -> Option<&str> {
    let path = head.uri.path().strip_prefix("/service/")?;
    path.strip_prefix(SERVICE)?.strip_prefix("/operation/")
}

/// Returns the `X-Amz-Target` of a JSON request.
pub(in crate::simulator) fn target(head: &Parts) -> Option<&str> {
    head.headers.get("x-amz-target")?.to_str().ok()
}
