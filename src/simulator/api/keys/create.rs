//! CreateKey.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, authorize_by_identity, authorize_in_account};
use crate::simulator::api::keys::metadata::described;
use crate::simulator::api::keys::policy::check_policy;
use crate::simulator::api::keys::tags::tags_of;
use crate::simulator::api::proxy_calls::Asker;
use crate::simulator::callers::caller::{Call, Caller};
use crate::simulator::crypto::material::Material;
use crate::simulator::crypto::random;
use crate::simulator::policy::{Details, default_policy};
use crate::simulator::proxy::link::Link;
use crate::simulator::state::lookup::{Names, find};
use crate::simulator::state::{Key, KeyState, Place};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, Kind, no_store};
use crate::simulator::wire::names::{key_arn, root_arn};
use crate::simulator::wire::patterns::check_xks_key_id;
use crate::simulator::wire::{self, Tag, check_text, need};
use crate::simulator::world::World;

/// The longest description, in characters.
pub(in crate::simulator) const LONGEST_DESCRIPTION: usize = 8_192;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
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
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: Create = wire::parse(body)?;
    request.check_supported()?;
    let store = need(&request.custom_key_store_id, "customKeyStoreId")?;
    let xks_key_id = need(&request.xks_key_id, "xksKeyId")?;
    check_xks_key_id(xks_key_id)?;
    let caller = &call.caller;
    let key = request.key(call, store, xks_key_id)?;
    let is_usable = |place: &Place| usable_store(place, store, xks_key_id);
    let link = world.read(|state| match state.place(&caller.account, &caller.region) {
        Some(place) => is_usable(place),
        None => Err(no_store(store)),
    })?;
    request.authorize(caller, &key)?;
    verify(world, call, &link, store, xks_key_id).await?;
    let id = key.id.clone();
    world
        .change(|state| {
            let place = state.place_mut(&caller.account, &caller.region);
            is_usable(place)?;
            place.keys.insert(id.clone(), key);
            Ok(())
        })
        .await?;
    let metadata =
        world.read(|state| find(state, caller, &id, Names::Keys).map(|found| described(&found)))?;
    Ok(json!({ "KeyMetadata": metadata }))
}

/// Asks the proxy whether the external key is one that KMS can use.
async fn verify(
    world: &World,
    call: &Call,
    link: &Link,
    store: &str,
    xks_key_id: &str,
) -> Result<(), Exception> {
    let principal = call.caller.principal_arn();
    let asker = Asker {
        principal: Some(&principal),
        ..Asker::for_health(world, link, Some(store), "CreateKey", call)
    };
    let metadata = asker.key_metadata(xks_key_id).await;
    let verdict = metadata.map_err(|fault| fault.of_new_key())?;
    verdict.map_err(|why| {
        Kind::XksKeyInvalidConfiguration.because(format!(
            "The external key {xks_key_id} cannot be used: {why}."
        ))
    })
}

/// The way to the proxy of a store in which a key for this external key can be made.
fn usable_store(place: &Place, id: &str, xks_key_id: &str) -> Result<Arc<Link>, Exception> {
    let store = place.stores.get(id).ok_or_else(|| no_store(id))?;
    let link = store.live.link().filter(|_| store.is_connected());
    let link = link.ok_or_else(|| {
        Kind::CustomKeyStoreInvalidState
            .because("The custom key store must be connected before a key can be created in it.")
    })?;
    let mut keys = place.keys.values();
    match keys.any(|key| key.store == id && key.xks_key_id == xks_key_id) {
        false => Ok(link),
        true => Err(Kind::XksKeyAlreadyInUse.because(format!(
            "The external key {xks_key_id} is already associated with a KMS key in this custom key store."
        ))),
    }
}

impl Create {
    fn check_supported(&self) -> Result<(), Exception> {
        let unsupported = |what: &str| Err(Kind::UnsupportedOperation.because(what));
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
                "Custom key stores support symmetric encryption keys only: no asymmetric and no HMAC keys.",
            ),
            (_, _, Some(usage), _) if usage != "ENCRYPT_DECRYPT" => {
                unsupported("Custom key stores support the key usage ENCRYPT_DECRYPT only.")
            }
            (.., Some(true)) => unsupported("Custom key stores do not support multi-Region keys."),
            (Some("EXTERNAL"), ..) => {
                unsupported("Custom key stores do not support imported key material.")
            }
            (Some("AWS_CLOUDHSM"), ..) => {
                unsupported("The simulator has no AWS CloudHSM key stores.")
            }
            (None | Some("AWS_KMS"), ..) => unsupported(
                "The simulator makes keys in external key stores only: give Origin EXTERNAL_KEY_STORE, CustomKeyStoreId and XksKeyId.",
            ),
            (Some("EXTERNAL_KEY_STORE"), ..) => Ok(()),
            (Some(_), ..) => Err(wire::invalid(
                "origin",
                "Member must satisfy enum value set: [EXTERNAL, AWS_CLOUDHSM, AWS_KMS, EXTERNAL_KEY_STORE]",
            )),
        }
    }

    /// A key that is not there yet has no policy: identity policies alone say who may create one, and with which tags.
    fn authorize(&self, caller: &Caller, key: &Key) -> Result<(), Exception> {
        let details = Details {
            tags: Some(&key.tags),
            bypasses_lockout_check: Some(self.bypass_policy_lockout_safety_check == Some(true)),
            is_new_key: true,
            ..Details::default()
        };
        authorize_in_account(caller, "CreateKey", details)?;
        let arn = key_arn(&caller.account, &caller.region, &key.id);
        match key.tags.is_empty() {
            true => Ok(()),
            false => authorize_by_identity(caller, "TagResource", &arn, details),
        }
    }

    fn key(&self, call: &Call, store: &str, xks_key_id: &str) -> Result<Key, Exception> {
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
        Ok(Key {
            id,
            created: now(),
            description,
            state: KeyState::Enabled,
            store: store.to_owned(),
            xks_key_id: xks_key_id.to_owned(),
            policy: policy.into(),
            tags: tags_of(self.tags.as_deref().unwrap_or_default(), &BTreeMap::new())?,
            grants: BTreeMap::new(),
            material: Material::generate()?,
        })
    }
}
