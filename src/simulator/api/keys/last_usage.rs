//! GetKeyLastUsage.

use serde_json::{Value, json};

use crate::simulator::api::authorize::authorize;
use crate::simulator::api::keys::describe::KeyId;
use crate::simulator::callers::caller::Call;
use crate::simulator::crypto::context::Context;
use crate::simulator::state::lookup::{Names, find};
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::world::World;

/// GetKeyLastUsage.
pub(in crate::simulator) fn get(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let id = KeyId::of(body)?;
    world.read(|state| {
        let found = find(state, &call.caller, &id, Names::Keys)?;
        let arn = found.arn();
        if found.account != call.caller.account {
            return Err(Kind::NotFound.because(format!("Key '{arn}' does not exist")));
        }
        authorize(&found, &call.caller, "GetKeyLastUsage", &Context::default())?;
        let usages = &world.usages;
        let usage = usages.of(&arn).map_or_else(
            || json!({}),
            |usage| {
                json!({
                    "Operation": usage.operation,
                    "Timestamp": usage.at,
                    "CloudTrailEventId": usage.event_id,
                    "KmsRequestId": usage.request_id,
                })
            },
        );
        Ok(json!({
            "KeyId": arn,
            "KeyLastUsage": usage,
            "TrackingStartDate": usages.since.max(found.key.created),
            "KeyCreationDate": found.key.created,
        }))
    })
}
