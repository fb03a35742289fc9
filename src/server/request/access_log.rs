//! The access log: one line per request (XKS API, "Logging") with the whole requestMetadata, the outcome, durations, and the reason of a rejection. The
//! operator can configure a sample of the successful requests; all other verified requests have a line.
//!
//! # Invariants
//! - Every text of the client is logged as a quoted field, in JSON and in text form, so it cannot start a new line.
//! - A verified request has a line if it failed, or if only the policy's mode allowed it. A line of a sample contains the share.
//! - Every text from outside is within its limit ([`OutsideText`]).

use std::time::Duration;

use tracing::{Level, event};

use super::peer::Peer;
use super::record::Facts;
use super::sample::Sample;
use crate::json_line::OutsideText;
use crate::xks::RequestMetadata;

/// The target of requests that have no line but may have a span. The log omits this target.
#[cfg(feature = "otlp")]
const UNSAMPLED: &str = "xks_proxy::unsampled";

/// The length of an unverified request's line without its texts from outside, in bytes: about 650 with a client and a VPC endpoint, rounded up for the
/// names of key stores.
const UNVERIFIED_LINE: usize = 768;

/// Writes the line. It is a macro because target and level must be constants, so that a filtered line costs nothing.
macro_rules! write_at {
    ($level:expr, $facts:ident, $status:ident, $peer:ident, $duration:ident, $sample:expr) => {
        write_at!(target: "xks_proxy::access", $level, $facts, $status, $peer, $duration, $sample)
    };
    (target: $target:expr, $level:expr, $facts:ident, $status:ident, $peer:ident, $duration:ident, $sample:expr) => {{
        let metadata = $facts.metadata.as_deref();
        let metadata_text = |field: fn(&RequestMetadata) -> Option<&str>| {
            metadata.and_then(field).map(OutsideText::from)
        };
        let cost = &$facts.cost;
        let trace = $facts.trace.as_ref();
        event!(
            target: $target,
            $level,
            operation = $facts.operation.map(|o| o.as_str()),
            key_store = $facts.key_store.as_deref(),
            external_key_id = $facts.key_id.as_ref().map(|id| id.as_str()),
            key_version = cost.key_version.map(|version| version.0),
            legacy = cost.is_legacy.then_some(true),
            outcome = $facts.outcome().as_str(),
            status = $status,
            error_name = $facts.fault.as_ref().map(|fault| fault.kind.name().as_str()),
            reason = reason($facts).as_ref().map(OutsideText::as_str),
            kms_request_id = metadata_text(|m| Some(&m.kms_request_id)).as_ref().map(OutsideText::as_str),
            kms_operation = metadata_text(|m| Some(&m.kms_operation)).as_ref().map(OutsideText::as_str),
            aws_principal_arn = metadata_text(|m| m.aws_principal_arn.as_deref()).as_ref().map(OutsideText::as_str),
            kms_key_arn = metadata_text(|m| m.kms_key_arn.as_deref()).as_ref().map(OutsideText::as_str),
            kms_via_service = metadata_text(|m| m.kms_via_service.as_deref()).as_ref().map(OutsideText::as_str),
            aws_source_vpc = metadata_text(|m| m.aws_source_vpc.as_deref()).as_ref().map(OutsideText::as_str),
            aws_source_vpce = metadata_text(|m| m.aws_source_vpce.as_deref()).as_ref().map(OutsideText::as_str),
            request_metadata_other = other(metadata).as_deref().map(OutsideText::from).as_ref().map(OutsideText::as_str),
            access_key_id = $facts.access_key_id.as_ref().map(|id| id.as_str()),
            peer = $peer.address.to_string(),
            client_certificate = $facts.client_certificate.as_str(),
            client = $peer.client_address().map(|client| client.to_string()),
            vpc_endpoint = $peer.vpc_endpoint().map(|id| id.as_str()),
            vpc_endpoint_allowed = $facts.is_unlisted_endpoint.then_some(false),
            hsm = cost.device.as_deref(),
            duration_us = micros($duration),
            queue_us = cost.device.as_ref().map(|_| micros(cost.queued)),
            device_us = cost.device.as_ref().map(|_| micros(cost.worked)),
            audit_us = $facts.audited.map(micros),
            trace_id = trace.map(|trace| trace.trace_id.as_str()),
            parent_id = trace.map(|trace| trace.parent_id.as_str()),
            trace_sampled = trace.map(|trace| trace.is_sampled),
            sample = $sample,
            "request"
        );
    }};
}

/// Writes the line: at level info for a success, warn for a rejected request and for a client that has disconnected, error for an error of the proxy or
/// of the HSM. Without a status, no response was received.
pub(in crate::server) fn write(
    facts: &Facts,
    status: Option<u16>,
    peer: &Peer,
    duration: Duration,
    sample: Sample,
) {
    let whole = None::<f64>;
    match status {
        Some(500..) if status != Some(501) => {
            write_at!(Level::ERROR, facts, status, peer, duration, whole);
        }
        Some(400..) | None => write_at!(Level::WARN, facts, status, peer, duration, whole),
        _ if sample == Sample::ALL || must_have_line(facts) => {
            write_at!(Level::INFO, facts, status, peer, duration, whole);
        }
        _ if sample.includes(kms_request_id(facts)) => {
            let share = Some(sample.share());
            write_at!(Level::INFO, facts, status, peer, duration, share);
        }
        #[cfg(feature = "otlp")]
        _ => write_at!(target: UNSAMPLED, Level::INFO, facts, status, peer, duration, whole),
        #[cfg(not(feature = "otlp"))]
        _ => {}
    }
}

/// Returns the maximum length of the line of an unverified request, in bytes. Its variable parts are the reason and the key id.
pub(in crate::server) fn max_unverified_length(facts: &Facts) -> usize {
    let reason = reason(facts).map_or(0, |reason| reason.logged_length());
    let key_id = facts.key_id.as_ref().map_or(0, |id| id.as_str().len());
    UNVERIFIED_LINE + reason + key_id
}

/// Returns whether a successful request has its line independently of the sample.
fn must_have_line(facts: &Facts) -> bool {
    let decision = facts.decision.as_ref();
    let is_observed = facts.fault.is_some() || facts.is_unlisted_endpoint;
    is_observed || decision.is_some_and(|decision| !decision.is_permitted())
}

fn kms_request_id(facts: &Facts) -> Option<&str> {
    let metadata = facts.metadata.as_deref()?;
    Some(&metadata.kms_request_id)
}

/// Returns the reason of a rejection for the operator: the internal reason, or else the message of the response.
fn reason(facts: &Facts) -> Option<OutsideText<'_>> {
    let fault = facts.fault.as_ref()?;
    Some(match &fault.reason {
        Some(reason) => OutsideText::from(&**reason),
        None => fault.kind.message().into(),
    })
}

/// Returns the metadata fields that the specification does not define, as JSON.
fn other(metadata: Option<&RequestMetadata>) -> Option<String> {
    let other = &metadata?.other;
    match other.is_empty() {
        true => None,
        false => serde_json::to_string(other).ok(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
