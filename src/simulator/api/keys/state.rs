//! EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion. They change the state in KMS only, not the external key.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{locate, locate_with};
use crate::simulator::api::keys::describe::KeyIdRequest;
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::kms::Kms;
use crate::simulator::policy::RequestDetails;
use crate::simulator::state::KmsKeyState;
use crate::simulator::state::lookup::{AcceptedIds, find, key_mut};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::{self, check, need};

const SECONDS_A_DAY: f64 = 86_400.0;

/// EnableKey.
pub(in crate::simulator) async fn enable(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    set_state(kms, call, body, "EnableKey", KmsKeyState::Enabled).await
}

/// DisableKey.
pub(in crate::simulator) async fn disable(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    set_state(kms, call, body, "DisableKey", KmsKeyState::Disabled).await
}

async fn set_state(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
    action: &str,
    to: KmsKeyState,
) -> Result<Value, Exception> {
    let id = KeyIdRequest::of(body)?;
    kms.change(|state| {
        let at = locate(state, &call.caller, &id, action)?;
        find(state, &call.caller, &id, AcceptedIds::Keys)?.check_not_pending()?;
        key_mut(state, &at)?.state = to;
        Ok(json!({}))
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleDeletionRequest {
    key_id: Option<String>,
    pending_window_in_days: Option<i64>,
}

/// ScheduleKeyDeletion.
pub(in crate::simulator) async fn schedule_deletion(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: ScheduleDeletionRequest = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let days = request.pending_window_in_days.unwrap_or(30);
    check(
        (7..=30).contains(&days),
        "pendingWindowInDays",
        "Member must have value between 7 and 30",
    )?;
    kms.change(|state| {
        let details = RequestDetails {
            window_in_days: Some(days),
            ..RequestDetails::default()
        };
        let at = locate_with(state, &call.caller, id, "ScheduleKeyDeletion", details)?;
        let found = find(state, &call.caller, id, AcceptedIds::Keys)?;
        found.check_not_pending()?;
        let arn = found.arn();
        let deletion = now() + days as f64 * SECONDS_A_DAY;
        key_mut(state, &at)?.state = KmsKeyState::PendingDeletion(deletion);
        Ok(json!({
            "KeyId": arn,
            "DeletionDate": deletion,
            "KeyState": "PendingDeletion",
            "PendingWindowInDays": days,
        }))
    })
    .await
}

/// CancelKeyDeletion. The key is disabled afterwards.
pub(in crate::simulator) async fn cancel_deletion(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let id = KeyIdRequest::of(body)?;
    kms.change(|state| {
        let at = locate(state, &call.caller, &id, "CancelKeyDeletion")?;
        let arn = find(state, &call.caller, &id, AcceptedIds::Keys)?.arn();
        let key = key_mut(state, &at)?;
        match key.state {
            KmsKeyState::PendingDeletion(_) => key.state = KmsKeyState::Disabled,
            KmsKeyState::Enabled | KmsKeyState::Disabled => {
                return Err(ExceptionKind::KmsInvalidState
                    .with_message(format!("{arn} is not pending deletion.")));
            }
        }
        Ok(json!({ "KeyId": arn }))
    })
    .await
}
