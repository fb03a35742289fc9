//! DescribeKey, ListKeys, UpdateKeyDescription.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, locate};
use crate::simulator::api::keys::create::LONGEST_DESCRIPTION;
use crate::simulator::api::keys::metadata::described;
use crate::simulator::callers::caller::Call;
use crate::simulator::crypto::context::Context;
use crate::simulator::state::lookup::{Found, Names, find, key_mut};
use crate::simulator::wire::exception::Exception;
use crate::simulator::wire::pages::Paging;
use crate::simulator::wire::{self, check_text, need};
use crate::simulator::world::World;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct KeyId {
    key_id: Option<String>,
    description: Option<String>,
}

impl KeyId {
    /// The KeyId of a request that has nothing else.
    pub(in crate::simulator) fn of(body: &[u8]) -> Result<String, Exception> {
        let request: Self = wire::parse(body)?;
        need(&request.key_id, "keyId").cloned()
    }
}

/// DescribeKey.
pub(in crate::simulator) fn describe(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let id = KeyId::of(body)?;
    world.read(|state| {
        let found = find(state, &call.caller, &id, Names::KeysAndAliases)?;
        authorize(&found, &call.caller, "DescribeKey", &Context::default())?;
        Ok(json!({ "KeyMetadata": described(&found) }))
    })
}

/// ListKeys.
pub(in crate::simulator) fn list(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let paging: Paging = wire::parse(body)?;
    let (account, region) = (call.caller.account.as_str(), call.caller.region.as_str());
    world.read(|state| {
        let keys = state.place(account, region).into_iter().flat_map(|place| {
            place.keys.values().map(move |key| {
                let arn = Found {
                    account,
                    region,
                    place,
                    key,
                    alias: None,
                }
                .arn();
                (key.id.as_str(), json!({ "KeyId": key.id, "KeyArn": arn }))
            })
        });
        paging.page("Keys", keys, 100, 1000)
    })
}

/// UpdateKeyDescription.
pub(in crate::simulator) async fn describe_anew(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: KeyId = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let description = need(&request.description, "description")?;
    check_text(
        description,
        0..=LONGEST_DESCRIPTION,
        |_| true,
        "description",
    )?;
    world
        .change(|state| {
            let at = locate(state, &call.caller, id, "UpdateKeyDescription")?;
            find(state, &call.caller, id, Names::Keys)?.check_not_pending()?;
            key_mut(state, &at)?.description.clone_from(description);
            Ok(json!({}))
        })
        .await
}
