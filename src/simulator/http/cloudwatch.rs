//! Responds to requests for CloudWatch.

use http::request::Parts;
use serde_json::Value;

use crate::simulator::api::authenticate::identify;
use crate::simulator::api::authorize::authorize_in_account;
use crate::simulator::cloudwatch::protocol::{operation_in_path, target};
use crate::simulator::cloudwatch::{cbor, data};
use crate::simulator::kms::Kms;
use crate::simulator::policy::RequestDetails;
use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// Authenticates and authorizes a request and returns its response.
pub(in crate::simulator) fn answer(
    kms: &Kms,
    head: &Parts,
    body: &[u8],
) -> Result<Value, Exception> {
    let caller = identify(kms, head, body)?;
    let in_target = || {
        target(head)?
            .split_once('.')
            .map(|(_, operation)| operation)
    };
    let (operation, body) = match operation_in_path(head) {
        Some(operation) => (Some(operation), cbor::decode(body)),
        None => (in_target(), serde_json::from_slice(body).ok()),
    };
    let body = body
        .ok_or_else(|| ExceptionKind::Serialization.with_message("The body cannot be parsed."))?;
    let authorize = |action| authorize_in_account(&caller, action, RequestDetails::default());
    match operation {
        Some("GetMetricData") => {
            authorize("cloudwatch:GetMetricData")?;
            data::get(&kms.cloudwatch, &caller, body)
        }
        Some("ListMetrics") => {
            authorize("cloudwatch:ListMetrics")?;
            data::list(&kms.cloudwatch, &caller, body)
        }
        _ => Err(ExceptionKind::UnknownOperation.with_message(
            "The simulator supports only GetMetricData and ListMetrics of CloudWatch.",
        )),
    }
}
