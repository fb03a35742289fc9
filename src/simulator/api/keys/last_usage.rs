//! GetKeyLastUsage.

use serde_json::{Value, json};

use crate::simulator::api::authorize::authorize;
use crate::simulator::api::keys::describe::KeyIdRequest;
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::crypto::context::EncryptionContext;
use crate::simulator::kms::Kms;
use crate::simulator::state::lookup::{AcceptedIds, find};
use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// GetKeyLastUsage.
pub(in crate::simulator) fn get(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let id = KeyIdRequest::of(body)?;
    kms.read(|state| {
        let found = find(state, &call.caller, &id, AcceptedIds::Keys)?;
        let arn = found.arn();
        if found.account != call.caller.account {
            return Err(ExceptionKind::NotFound.with_message(format!("Key '{arn}' does not exist")));
        }
        authorize(
            &found,
            &call.caller,
            "GetKeyLastUsage",
            &EncryptionContext::default(),
        )?;
        let usages = &kms.usages;
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
