//! CreateKey.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize_by_identity, authorize_in_account};
use crate::simulator::api::keys::metadata::key_metadata;
use crate::simulator::api::keys::policy::check_policy;
use crate::simulator::api::keys::tags::merged_tags;
use crate::simulator::api::proxy_calls::ProxyClient;
use crate::simulator::callers::caller::{KmsCall, KmsCaller};
use crate::simulator::crypto::material::KeyMaterial;
use crate::simulator::crypto::random;
use crate::simulator::kms::Kms;
use crate::simulator::policy::{RequestDetails, default_policy};
use crate::simulator::proxy::link::ProxyLink;
use crate::simulator::state::lookup::{AcceptedIds, find};
use crate::simulator::state::{KmsKey, KmsKeyState, RegionState};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, ExceptionKind, no_store};
use crate::simulator::wire::names::{key_arn, root_arn};
use crate::simulator::wire::patterns::check_xks_key_id;
use crate::simulator::wire::{self, Tag, check_text, need};

/// The longest description, in characters.
pub(in crate::simulator) const LONGEST_DESCRIPTION: usize = 8_192;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateKeyRequest {
    policy: Option<String>,
    description: Option<String>,
    key_usage: Option<String>,
    customer_master_key_spec: Option<String>,
    key_spec: Option<String>,
    origin: Option<String>,
    custom_key_store_id: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    tags: Option<Vec<Tag>>,
    multi_region: Option<bool>,
    xks_key_id: Option<String>,
}

/// CreateKey.
pub(in crate::simulator) async fn create(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: CreateKeyRequest = wire::parse(body)?;
    request.check_supported()?;
    let store = need(&request.custom_key_store_id, "customKeyStoreId")?;
    let xks_key_id = need(&request.xks_key_id, "xksKeyId")?;
    check_xks_key_id(xks_key_id)?;
    let caller = &call.caller;
    let key = request.key(call, store, xks_key_id)?;
    let is_usable = |region_state: &RegionState| usable_store(region_state, store, xks_key_id);
    let link = kms.read(
        |state| match state.region_state(&caller.account, &caller.region) {
            Some(region_state) => is_usable(region_state),
            None => Err(no_store(store)),
        },
    )?;
    request.authorize(caller, &key)?;
    verify(kms, call, &link, store, xks_key_id).await?;
    let id = key.id.clone();
    kms.change(|state| {
        let region_state = state.region_state_or_new(&caller.account, &caller.region);
        is_usable(region_state)?;
        region_state.keys.insert(id.clone(), key);
        Ok(())
    })
    .await?;
    let metadata = kms.read(|state| {
        find(state, caller, &id, AcceptedIds::Keys).map(|found| key_metadata(&found))
    })?;
    Ok(json!({ "KeyMetadata": metadata }))
}

/// Checks with the proxy that KMS can use the external key.
async fn verify(
    kms: &Kms,
    call: &KmsCall,
    link: &ProxyLink,
    store: &str,
    xks_key_id: &str,
) -> Result<(), Exception> {
    let principal = call.caller.principal_arn();
    let client = ProxyClient {
        principal: Some(&principal),
        ..ProxyClient::for_health(kms, link, Some(store), "CreateKey", call)
    };
    let metadata = client.key_metadata(xks_key_id).await;
    let usability = metadata.map_err(|error| error.for_new_key())?;
    usability.map_err(|reason| {
        ExceptionKind::XksKeyInvalidConfiguration.with_message(format!(
            "The external key {xks_key_id} cannot be used: {reason}."
        ))
    })
}

/// Returns the link of the store, if a key for this external key can be created in the store.
fn usable_store(
    region_state: &RegionState,
    id: &str,
    xks_key_id: &str,
) -> Result<Arc<ProxyLink>, Exception> {
    let store = region_state.stores.get(id).ok_or_else(|| no_store(id))?;
    let link = store.runtime.link().filter(|_| store.is_connected());
    let link = link.ok_or_else(|| {
        ExceptionKind::CustomKeyStoreInvalidState.with_message(
            "The custom key store must be connected before a key can be created in it.",
        )
    })?;
    let mut keys = region_state.keys.values();
    match keys.any(|key| key.store == id && key.xks_key_id == xks_key_id) {
        false => Ok(link),
        true => Err(ExceptionKind::XksKeyAlreadyInUse.with_message(format!(
            "The external key {xks_key_id} is already associated with a KMS key in this custom key store."
        ))),
    }
}

impl CreateKeyRequest {
    fn check_supported(&self) -> Result<(), Exception> {
        let unsupported =
            |message: &str| Err(ExceptionKind::UnsupportedOperation.with_message(message));
        let spec = self
            .key_spec
            .as_deref()
            .or(self.customer_master_key_spec.as_deref());
        match (
            self.origin.as_deref(),
            spec,
            self.key_usage.as_deref(),
            self.multi_region,
        ) {
            (_, Some(spec), ..) if spec != "SYMMETRIC_DEFAULT" => unsupported(
                "Custom key stores support symmetric encryption keys only, not asymmetric or HMAC keys.",
            ),
            (_, _, Some(usage), _) if usage != "ENCRYPT_DECRYPT" => {
                unsupported("Custom key stores support the key usage ENCRYPT_DECRYPT only.")
            }
            (.., Some(true)) => unsupported("Custom key stores do not support multi-Region keys."),
            (Some("EXTERNAL"), ..) => {
                unsupported("Custom key stores do not support imported key material.")
            }
            (Some("AWS_CLOUDHSM"), ..) => {
                unsupported("The simulator does not support AWS CloudHSM key stores.")
            }
            (None | Some("AWS_KMS"), ..) => unsupported(
                "The simulator creates keys in external key stores only: specify Origin EXTERNAL_KEY_STORE, CustomKeyStoreId and XksKeyId.",
            ),
            (Some("EXTERNAL_KEY_STORE"), ..) => Ok(()),
            (Some(_), ..) => Err(wire::invalid(
                "origin",
                "Member must satisfy enum value set: [EXTERNAL, AWS_CLOUDHSM, AWS_KMS, EXTERNAL_KEY_STORE]",
            )),
        }
    }

    /// Checks that identity policies allow the new key and its tags. The key does not exist yet, so its own policy does not count.
    fn authorize(&self, caller: &KmsCaller, key: &KmsKey) -> Result<(), Exception> {
        let details = RequestDetails {
            tags: Some(&key.tags),
            bypasses_lockout_check: Some(self.bypass_policy_lockout_safety_check == Some(true)),
            is_new_key: true,
            ..RequestDetails::default()
        };
        authorize_in_account(caller, "CreateKey", details)?;
        let arn = key_arn(&caller.account, &caller.region, &key.id);
        match key.tags.is_empty() {
            true => Ok(()),
            false => authorize_by_identity(caller, "TagResource", &arn, details),
        }
    }

    fn key(&self, call: &KmsCall, store: &str, xks_key_id: &str) -> Result<KmsKey, Exception> {
        let description = self.description.clone().unwrap_or_default();
        check_text(
            &description,
            0..=LONGEST_DESCRIPTION,
            |_| true,
            "description",
        )?;
        let (id, caller) = (random::uuid()?, &call.caller);
        let policy = match &self.policy {
            None => default_policy(&root_arn(&caller.region, &caller.account)),
            Some(policy) => {
                let arn = key_arn(&caller.account, &caller.region, &id);
                check_policy(
                    policy,
                    caller,
                    &arn,
                    None,
                    self.bypass_policy_lockout_safety_check,
                )?;
                policy.clone()
            }
        };
        Ok(KmsKey {
            id,
            created: now(),
            description,
            state: KmsKeyState::Enabled,
            store: store.to_owned(),
            xks_key_id: xks_key_id.to_owned(),
            policy: policy.into(),
            tags: merged_tags(self.tags.as_deref().unwrap_or_default(), &BTreeMap::new())?,
            grants: BTreeMap::new(),
            material: KeyMaterial::generate()?,
        })
    }
}
