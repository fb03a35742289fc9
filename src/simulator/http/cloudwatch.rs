//! Answers CloudWatch's requests.

use http::request::Parts;
use serde_json::Value;

use crate::simulator::api::authenticate::identify;
use crate::simulator::api::authorize::authorize_in_account;
use crate::simulator::cloudwatch::protocol::{operation_in_path, target};
use crate::simulator::cloudwatch::{cbor, data};
use crate::simulator::policy::Details;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::world::World;

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
    let authorize = |action| authorize_in_account(&caller, action, Details::default());
    match operation {
        Some("GetMetricData") => {
            authorize("cloudwatch:GetMetricData")?;
            data::get(&world.cloudwatch, &caller, body)
        }
        Some("ListMetrics") => {
            authorize("cloudwatch:ListMetrics")?;
            data::list(&world.cloudwatch, &caller, body)
        }
        _ => Err(Kind::UnknownOperation
            .because("The simulator has GetMetricData and ListMetrics of CloudWatch only.")),
    }
}
