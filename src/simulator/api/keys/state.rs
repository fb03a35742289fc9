//! EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion: KMS's own state of a key. The external key knows nothing of it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{locate, locate_with};
use crate::simulator::api::keys::describe::KeyId;
use crate::simulator::callers::caller::Call;
use crate::simulator::policy::Details;
use crate::simulator::state::KeyState;
use crate::simulator::state::lookup::{Names, find, key_mut};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::{self, check, need};
use crate::simulator::world::World;

const SECONDS_A_DAY: f64 = 86_400.0;

/// EnableKey.
pub(in crate::simulator) async fn enable(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    switch(world, call, body, "EnableKey", KeyState::Enabled).await
}

/// DisableKey.
pub(in crate::simulator) async fn disable(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    switch(world, call, body, "DisableKey", KeyState::Disabled).await
}

async fn switch(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
    action: &str,
    to: KeyState,
) -> Result<Value, Exception> {
    let id = KeyId::of(body)?;
    world
        .change(|state| {
            let at = locate(state, &call.caller, &id, action)?;
            find(state, &call.caller, &id, Names::Keys)?.check_not_pending()?;
            key_mut(state, &at)?.state = to;
            Ok(json!({}))
        })
        .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Schedule {
    key_id: Option<String>,
    pending_window_in_days: Option<i64>,
}

/// ScheduleKeyDeletion.
pub(in crate::simulator) async fn schedule_deletion(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: Schedule = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let days = request.pending_window_in_days.unwrap_or(30);
    check(
        (7..=30).contains(&days),
        "pendingWindowInDays",
        "Member must have value between 7 and 30",
    )?;
    world
        .change(|state| {
            let details = Details {
                window_in_days: Some(days),
                ..Details::default()
            };
            let at = locate_with(state, &call.caller, id, "ScheduleKeyDeletion", details)?;
            let found = find(state, &call.caller, id, Names::Keys)?;
            found.check_not_pending()?;
            let arn = found.arn();
            let deletion = now() + days as f64 * SECONDS_A_DAY;
            key_mut(state, &at)?.state = KeyState::PendingDeletion(deletion);
            Ok(json!({
                "KeyId": arn,
                "DeletionDate": deletion,
                "KeyState": "PendingDeletion",
                "PendingWindowInDays": days,
            }))
        })
        .await
}

/// CancelKeyDeletion: the key is disabled then.
pub(in crate::simulator) async fn cancel_deletion(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let id = KeyId::of(body)?;
    world
        .change(|state| {
            let at = locate(state, &call.caller, &id, "CancelKeyDeletion")?;
            let arn = find(state, &call.caller, &id, Names::Keys)?.arn();
            let key = key_mut(state, &at)?;
            match key.state {
                KeyState::PendingDeletion(_) => key.state = KeyState::Disabled,
                KeyState::Enabled | KeyState::Disabled => {
                    return Err(
                        Kind::KmsInvalidState.because(format!("{arn} is not pending deletion."))
                    );
                }
            }
            Ok(json!({ "KeyId": arn }))
        })
        .await
}
