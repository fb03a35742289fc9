//! DescribeKey, ListKeys, UpdateKeyDescription.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, locate};
use crate::simulator::api::keys::create::LONGEST_DESCRIPTION;
use crate::simulator::api::keys::metadata::key_metadata;
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::crypto::context::EncryptionContext;
use crate::simulator::kms::Kms;
use crate::simulator::state::lookup::{AcceptedIds, FoundKey, find, key_mut};
use crate::simulator::wire::exception::Exception;
use crate::simulator::wire::pages::Paging;
use crate::simulator::wire::{self, check_text, need};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct KeyIdRequest {
    key_id: Option<String>,
    description: Option<String>,
}

impl KeyIdRequest {
    /// Returns the KeyId of a request that has no other parameter.
    pub(in crate::simulator) fn of(body: &[u8]) -> Result<String, Exception> {
        let request: Self = wire::parse(body)?;
        need(&request.key_id, "keyId").cloned()
    }
}

/// DescribeKey.
pub(in crate::simulator) fn describe(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let id = KeyIdRequest::of(body)?;
    kms.read(|state| {
        let found = find(state, &call.caller, &id, AcceptedIds::KeysAndAliases)?;
        authorize(
            &found,
            &call.caller,
            "DescribeKey",
            &EncryptionContext::default(),
        )?;
        Ok(json!({ "KeyMetadata": key_metadata(&found) }))
    })
}

/// ListKeys.
pub(in crate::simulator) fn list(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let paging: Paging = wire::parse(body)?;
    let (account, region) = (call.caller.account.as_str(), call.caller.region.as_str());
    kms.read(|state| {
        let keys = state
            .region_state(account, region)
            .into_iter()
            .flat_map(|region_state| {
                region_state.keys.values().map(move |key| {
                    let arn = FoundKey {
                        account,
                        region,
                        region_state,
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
pub(in crate::simulator) async fn update_description(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: KeyIdRequest = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let description = need(&request.description, "description")?;
    check_text(
        description,
        0..=LONGEST_DESCRIPTION,
        |_| true,
        "description",
    )?;
    kms.change(|state| {
        let at = locate(state, &call.caller, id, "UpdateKeyDescription")?;
        find(state, &call.caller, id, AcceptedIds::Keys)?.check_not_pending()?;
        key_mut(state, &at)?.description.clone_from(description);
        Ok(json!({}))
    })
    .await
}
