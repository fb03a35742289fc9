//! CloudWatch's requests: RPC v2 with CBOR, which the newest SDKs speak, and JSON 1.0.

use http::request::Parts;
use serde_json::{Value, json};

use super::super::caller::identify;
use super::super::exception::{Exception, Kind};
use super::super::world::World;
use super::{cbor, data};

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

/// The answer to a request.
pub(in crate::simulator) fn answer(
    world: &World,
    head: &Parts,
    body: &[u8],
) -> Result<Value, Exception> {
    let caller = identify(world, head, body)?;
    let in_target = || {
        target(head)?
            .split_once('.')
            .map(|(_, operation)| operation)
    };
    let (operation, body) = match operation_in_path(head) {
        Some(operation) => (Some(operation), cbor::decode(body)),
        None => (in_target(), serde_json::from_slice(body).ok()),
    };
    let body = body.ok_or_else(|| Kind::Serialization.because("The body cannot be read."))?;
    match operation {
        Some("GetMetricData") => data::get(&world.cloudwatch, &caller, body),
        Some("ListMetrics") => data::list(&world.cloudwatch, &caller, body),
        _ => Err(Kind::UnknownOperation
            .because("The simulator has GetMetricData and ListMetrics of CloudWatch only.")),
    }
}

fn operation_in_path(head: &Parts) -> Option<&str> {
    let path = head.uri.path().strip_prefix("/service/")?;
    path.strip_prefix(SERVICE)?.strip_prefix("/operation/")
}

fn target(head: &Parts) -> Option<&str> {
    head.headers.get("x-amz-target")?.to_str().ok()
}
