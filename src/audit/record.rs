//! What is recorded: the entries before they have a place in the chain.
//!
//! # Invariants
//! - There is no field for plaintext, ciphertext, IV or a secret.
//! - Whatever a caller sends becomes printable ASCII within one line.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Map, Value};

use super::ascii::Ascii;
use crate::build_info;
use crate::xks::RequestMetadata;

/// What the members of a request need.
const USUAL_LENGTH: usize = 1_024;

/// One entry, ready to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) kind: Kind,
    pub(super) time: SystemTime,
    /// The members that the kind adds, each with a comma before it.
    pub(super) members: Vec<u8>,
}

/// What a line is about, by the schema's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the schema says what each is")]
pub enum Kind {
    Request,
    Security,
    Checkpoint,
    Recovered,
    Start,
    Stop,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was served.
    #[default]
    Ok,
    /// It was not allowed or not valid: the caller is to blame.
    Refused,
    /// The proxy or the HSM could not serve it.
    Failed,
}

/// A request that passed authentication. What is not known stays none and has no member in the line.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The external key store's name.
    pub key_store: Option<&'a str>,
    /// The operation, in the words of the API.
    pub operation: Option<&'a str>,
    /// The external key id of the URI.
    pub key_id: Option<&'a str>,
    /// The version of the key that was used.
    pub key_version: Option<u32>,
    /// Whether the ciphertext was one of AWS's sample proxy.
    pub legacy: bool,
    /// The device that served.
    pub hsm: Option<&'a str>,
    /// Whose credential signed.
    pub access_key_id: Option<&'a str>,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// The subject of the client's certificate.
    pub client_subject: Option<&'a str>,
    /// The whole requestMetadata.
    pub metadata: Option<&'a RequestMetadata>,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The errorName that was answered.
    pub error_name: Option<&'a str>,
    /// Why, for the operator.
    pub reason: Option<&'a str>,
    /// The policies that decided.
    pub policies: &'a [String],
    /// The length of the request's body.
    pub request_bytes: Option<u64>,
    /// The length of the answer's body.
    pub response_bytes: Option<u64>,
    /// From the request's head to its answer.
    pub total: Duration,
    /// Waiting for the device.
    pub queued: Option<Duration>,
    /// The device's work.
    pub worked: Option<Duration>,
}

/// A security event. `event` names it: `authentication_failed`, `denied`, `reload`, `kill_switch`, `hsm_state`, or another.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "each is the member of its name in the schema")]
pub struct Security<'a> {
    pub event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_store: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

impl Entry {
    /// A request that has just been dealt with.
    pub fn request(request: &Request<'_>) -> Self {
        Self::new(Kind::Request, &RequestMembers::of(request))
    }

    /// A security event that has just happened.
    pub fn security(security: &Security<'_>) -> Self {
        Self::new(Kind::Security, security)
    }

    /// The proxy starts or stops.
    pub(super) fn lifecycle(kind: Kind) -> Self {
        let (version, pid) = (build_info::VERSION, std::process::id());
        Self::new(kind, &serde_json::json!({ "version": version, "pid": pid }))
    }

    pub(super) fn new(kind: Kind, members: &impl Serialize) -> Self {
        let mut json = Vec::with_capacity(USUAL_LENGTH);
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, Ascii);
        // These types have string keys only, and a vector takes everything: it does not fail.
        if members.serialize(&mut serializer).is_err() {
            json = br#"{"unserializable":true}"#.to_vec();
        }
        json.pop();
        // An empty object leaves its brace alone, which becomes nothing; else a comma takes the brace's place.
        let has_members = json.len() > 1;
        match json.first_mut().filter(|_| has_members) {
            Some(brace) => *brace = b',',
            None => json.clear(),
        }
        let time = SystemTime::now();
        Self {
            kind,
            time,
            members: json,
        }
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Request,
        Self::Security,
        Self::Checkpoint,
        Self::Recovered,
        Self::Start,
        Self::Stop,
    ];

    /// Its name in the lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Security => "security",
            Self::Checkpoint => "checkpoint",
            Self::Recovered => "recovered",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

#[derive(Serialize)]
struct RequestMembers<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key_store: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    legacy: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hsm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_metadata: Option<Metadata<'a>>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    policies: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_bytes: Option<u64>,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_us: Option<u64>,
}

impl<'a> RequestMembers<'a> {
    fn of(request: &Request<'a>) -> Self {
        Self {
            key_store: request.key_store,
            operation: request.operation,
            key_id: request.key_id,
            key_version: request.key_version,
            legacy: request.legacy.then_some(true),
            hsm: request.hsm,
            access_key_id: request.access_key_id,
            peer: request.peer,
            client_subject: request.client_subject,
            request_metadata: request.metadata.map(Metadata::of),
            outcome: request.outcome,
            status: request.status,
            error_name: request.error_name,
            reason: request.reason,
            policies: request.policies,
            request_bytes: request.request_bytes,
            response_bytes: request.response_bytes,
            duration_us: micros(request.total),
            queue_us: request.queued.map(micros),
            device_us: request.worked.map(micros),
        }
    }
}

/// The metadata under the names that it has on the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_principal_arn: Option<&'a str>,
    kms_operation: &'a str,
    kms_request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_via_service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_source_vpc: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_source_vpce: Option<&'a str>,
    #[serde(flatten)]
    other: &'a Map<String, Value>,
}

impl<'a> Metadata<'a> {
    fn of(metadata: &'a RequestMetadata) -> Self {
        Self {
            aws_principal_arn: metadata.aws_principal_arn.as_deref(),
            kms_operation: &metadata.kms_operation,
            kms_request_id: &metadata.kms_request_id,
            kms_key_arn: metadata.kms_key_arn.as_deref(),
            kms_via_service: metadata.kms_via_service.as_deref(),
            aws_source_vpc: metadata.aws_source_vpc.as_deref(),
            aws_source_vpce: metadata.aws_source_vpce.as_deref(),
            other: &metadata.other,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
