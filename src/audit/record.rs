//! Entries: the content of lines, before they have a position in the chain.
//!
//! # Invariants
//! - No field is for a plaintext, a ciphertext, an IV or a secret.
//! - All data from clients becomes printable ASCII within one line.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::build_info;
use crate::json_line::{JsonLine, MAX_LOGGED, OutsideText, write_ascii};
use crate::xks::RequestMetadata;

/// The usual length of the members of a request, in bytes.
const USUAL_LENGTH: usize = 1_024;

/// An entry of the audit trail.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) kind: Kind,
    pub(super) time: SystemTime,
    /// The additional members of the kind, each with a comma before it.
    pub(super) members: Vec<u8>,
}

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the schema describes each kind")]
pub enum Kind {
    Request,
    Security,
    Checkpoint,
    Recovered,
    Correction,
    Start,
    Stop,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It was served.
    #[default]
    Ok,
    /// It was not allowed or not valid: an error of the caller.
    Refused,
    /// The proxy or the HSM could not serve it.
    Failed,
    /// The client closed the connection, or reset the stream, before the answer.
    ClientDisconnected,
}

/// A request that passed authentication. Unknown values are none and have no member in the line.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The external key store's name.
    pub key_store: Option<&'a str>,
    /// The operation's name in the XKS API.
    pub operation: Option<&'a str>,
    /// The external key id from the URI.
    pub key_id: Option<&'a str>,
    /// The version of the key that was used.
    pub key_version: Option<u32>,
    /// True if the ciphertext was in the format of AWS's sample proxy.
    pub legacy: bool,
    /// The HSM that served the request.
    pub hsm: Option<&'a str>,
    /// The access key id of the credential that signed the request.
    pub access_key_id: Option<&'a str>,
    /// The peer address of the connection.
    pub peer: Option<SocketAddr>,
    /// The client's address from the load balancer's PROXY header.
    pub client: Option<SocketAddr>,
    /// The VPC endpoint of the connection, from the PROXY header.
    pub vpc_endpoint: Option<&'a str>,
    /// The subject of the client's certificate, if the certificate was verified.
    pub client_subject: Option<OutsideText<'a>>,
    /// The result of client authentication.
    pub client_certificate: Option<&'a str>,
    /// The complete requestMetadata. Its texts are cut to their limit.
    pub metadata: Option<&'a RequestMetadata>,
    /// The outcome.
    pub outcome: Outcome,
    /// The HTTP status of the response, if there was one.
    pub status: Option<u16>,
    /// The errorName of the response.
    pub error_name: Option<&'a str>,
    /// The reason of the outcome, for the operator.
    pub reason: Option<OutsideText<'a>>,
    /// The names of the policy rules that decided.
    pub policies: &'a [String],
    /// The length of the request body, in bytes.
    pub request_bytes: Option<u64>,
    /// The length of the response body, in bytes.
    pub response_bytes: Option<u64>,
    /// The time from the request's head to the response.
    pub total: Duration,
    /// The time in the queue of the HSM.
    pub queued: Option<Duration>,
    /// The time that the HSM worked.
    pub worked: Option<Duration>,
    /// The number of HSM calls for the request, including hedged, repeated and verifying ones.
    pub hsm_calls: u32,
}

/// A security event. `event` is its name, such as `authentication_failed`, `denied`, `reload`, `kill_switch` or `hsm_state`.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(
    missing_docs,
    reason = "the schema describes the member of the same name"
)]
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
    pub client: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_subject: Option<OutsideText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<OutsideText<'a>>,
}

impl Entry {
    /// Returns the entry of a request that has just ended.
    pub fn request(request: &Request<'_>) -> Self {
        Self::with_kind(Kind::Request, members(request))
    }

    /// Returns the entry of a security event that has just happened.
    pub fn security(security: &Security<'_>) -> Self {
        Self::new(Kind::Security, security)
    }

    /// Returns this entry as the correction of the line with this number.
    pub(super) fn correcting(mut self, seq: u64) -> Self {
        let members = format!(",\"corrects\":{seq}").into_bytes();
        self.kind = Kind::Correction;
        self.members.splice(..0, members);
        self
    }

    /// Returns the entry of a start or stop of the proxy.
    pub(super) fn lifecycle(kind: Kind) -> Self {
        let (version, pid) = (build_info::VERSION, std::process::id());
        Self::new(kind, &serde_json::json!({ "version": version, "pid": pid }))
    }

    pub(super) fn new(kind: Kind, members: &impl Serialize) -> Self {
        let mut json = Vec::new();
        // Serialization does not fail: these types have string keys only, and the output is a vector.
        if write_ascii(&mut json, members).is_err() {
            json = br#"{"unserializable":true}"#.to_vec();
        }
        Self::with_kind(kind, json)
    }

    /// Returns an entry with the members of this JSON object.
    fn with_kind(kind: Kind, mut json: Vec<u8>) -> Self {
        json.pop();
        // A comma replaces the opening brace. An empty object becomes no bytes.
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

impl Outcome {
    /// Returns the name in lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::ClientDisconnected => "client_disconnected",
        }
    }
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Request,
        Self::Security,
        Self::Checkpoint,
        Self::Recovered,
        Self::Correction,
        Self::Start,
        Self::Stop,
    ];

    /// Returns the name in lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Security => "security",
            Self::Checkpoint => "checkpoint",
            Self::Recovered => "recovered",
            Self::Correction => "correction",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// Returns the members of a request's line, in the order of the schema.
fn members(request: &Request<'_>) -> Vec<u8> {
    let mut line = JsonLine::begin(USUAL_LENGTH, true);
    line.text_of("key_store", request.key_store);
    line.text_of("operation", request.operation);
    line.text_of("key_id", request.key_id);
    line.number_of("key_version", request.key_version.map(u64::from));
    if request.legacy {
        line.value("legacy", &true);
    }
    line.text_of("hsm", request.hsm);
    line.text_of("access_key_id", request.access_key_id);
    line.address_of("peer", request.peer);
    line.address_of("client", request.client);
    line.text_of("vpc_endpoint", request.vpc_endpoint);
    line.outside_of("client_subject", request.client_subject.as_ref());
    line.text_of("client_certificate", request.client_certificate);
    if let Some(metadata) = request.metadata {
        line.object("request_metadata", |line| push_metadata(line, metadata));
    }
    line.text("outcome", request.outcome.as_str());
    line.number_of("status", request.status.map(u64::from));
    line.text_of("error_name", request.error_name);
    line.outside_of("reason", request.reason.as_ref());
    if !request.policies.is_empty() {
        line.value("policies", &request.policies);
    }
    line.number_of("request_bytes", request.request_bytes);
    line.number_of("response_bytes", request.response_bytes);
    line.number_of("duration_us", Some(micros(request.total)));
    line.number_of("queue_us", request.queued.map(micros));
    line.number_of("device_us", request.worked.map(micros));
    line.number_of("hsm_calls", Some(request.hsm_calls.into()));
    line.end()
}

/// Adds the metadata under the names of the XKS API.
fn push_metadata(line: &mut JsonLine, metadata: &RequestMetadata) {
    push_outside(
        line,
        "awsPrincipalArn",
        metadata.aws_principal_arn.as_deref(),
    );
    push_outside(line, "kmsOperation", Some(&metadata.kms_operation));
    push_outside(line, "kmsRequestId", Some(&metadata.kms_request_id));
    push_outside(line, "kmsKeyArn", metadata.kms_key_arn.as_deref());
    push_outside(line, "kmsViaService", metadata.kms_via_service.as_deref());
    push_outside(line, "awsSourceVpc", metadata.aws_source_vpc.as_deref());
    push_outside(line, "awsSourceVpce", metadata.aws_source_vpce.as_deref());
    if !metadata.other.is_empty() {
        push_unknown(line, metadata);
    }
}

fn push_outside(line: &mut JsonLine, name: &str, text: Option<&str>) {
    line.outside_of(name, text.map(OutsideText::from).as_ref());
}

/// Adds the fields that the specification does not define. If they are longer than [`MAX_LOGGED`], they become one text that is cut.
fn push_unknown(line: &mut JsonLine, metadata: &RequestMetadata) {
    let mut json = Vec::new();
    // A map with string keys can always be serialized into a vector.
    if write_ascii(&mut json, &metadata.other).is_err() {
        return;
    }
    match json.len() <= MAX_LOGGED {
        true => line.members(&json),
        false => {
            let text = String::from_utf8_lossy(&json);
            push_outside(line, "unknown_fields", Some(&text));
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
