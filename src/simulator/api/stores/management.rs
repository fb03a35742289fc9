//! CreateCustomKeyStore, DescribeCustomKeyStores, DeleteCustomKeyStore.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::proxy_calls::{Asker, serving};
use crate::simulator::api::stores::rules::{
    CredentialFields, check_name, check_room, check_service, check_unique_name, check_unique_proxy,
    connectivity,
};
use crate::simulator::callers::caller::Call;
use crate::simulator::state::Place;
use crate::simulator::state::stores::{ConnectionState, Connectivity, ProxyConfiguration, Store};
use crate::simulator::wire::exception::{Exception, Kind, no_store};
use crate::simulator::wire::pages::Paging;
use crate::simulator::wire::patterns::{check_endpoint, check_path};
use crate::simulator::wire::{self, check_text, need};
use crate::simulator::world::World;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    custom_key_store_name: Option<String>,
    custom_key_store_type: Option<String>,
    xks_proxy_uri_endpoint: Option<String>,
    xks_proxy_uri_path: Option<String>,
    xks_proxy_vpc_endpoint_service_name: Option<String>,
    xks_proxy_vpc_endpoint_service_owner: Option<String>,
    xks_proxy_authentication_credential: Option<CredentialFields>,
    xks_proxy_connectivity: Option<String>,
}

/// CreateCustomKeyStore.
pub(in crate::simulator) async fn create(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: Create = wire::parse(body)?;
    let name = need(&request.custom_key_store_name, "customKeyStoreName")?;
    check_name(name)?;
    request.check_type()?;
    let (account, region) = (&call.caller.account, &call.caller.region);
    let proxy = request.proxy(account)?;
    world.endpoint_services.check(&proxy, account, region)?;
    let is_free = |place: &Place| {
        check_room(place)?;
        check_unique_name(place, name, None)?;
        check_unique_proxy(place, &proxy, None)
    };
    world.read(|state| state.place(account, region).map_or(Ok(()), is_free))?;
    let store = Store::new(name, &proxy)?;
    if proxy.connectivity == Connectivity::PublicEndpoint {
        verify(world, call, None, &proxy, "CreateCustomKeyStore").await?;
    }
    world
        .change(|state| {
            let place = state.place_mut(account, region);
            is_free(place)?;
            let id = store.id.clone();
            place.stores.insert(id.clone(), store);
            Ok(json!({ "CustomKeyStoreId": id }))
        })
        .await
}

/// Asks for health with a configuration that is not in use yet.
pub(in crate::simulator) async fn verify(
    world: &World,
    call: &Call,
    store: Option<&str>,
    proxy: &ProxyConfiguration,
    kms_operation: &'static str,
) -> Result<(), Exception> {
    let link = world.link(proxy.recipe(&call.caller.region))?;
    let asker = Asker::for_health(world, &link, store, kms_operation, call);
    let health = asker.health().await.and_then(serving);
    health.map(drop).map_err(|fault| fault.of_store())
}

impl Create {
    fn check_type(&self) -> Result<(), Exception> {
        match self.custom_key_store_type.as_deref() {
            Some("EXTERNAL_KEY_STORE") => Ok(()),
            None | Some("AWS_CLOUDHSM") => Err(Kind::Validation
                .because("The simulator has custom key stores of type EXTERNAL_KEY_STORE only.")),
            Some(_) => Err(wire::invalid(
                "customKeyStoreType",
                "Member must satisfy enum value set: [AWS_CLOUDHSM, EXTERNAL_KEY_STORE]",
            )),
        }
    }

    fn proxy(&self, account: &str) -> Result<ProxyConfiguration, Exception> {
        let connectivity =
            connectivity(need(&self.xks_proxy_connectivity, "xksProxyConnectivity")?)?;
        let endpoint = need(&self.xks_proxy_uri_endpoint, "xksProxyUriEndpoint")?;
        let path = need(&self.xks_proxy_uri_path, "xksProxyUriPath")?;
        let credential = need(
            &self.xks_proxy_authentication_credential,
            "xksProxyAuthenticationCredential",
        )?;
        let service_name = self.xks_proxy_vpc_endpoint_service_name.clone();
        let owner = self.xks_proxy_vpc_endpoint_service_owner.as_deref();
        check_endpoint(endpoint)?;
        check_path(path)?;
        check_service(connectivity, service_name.as_deref(), owner)?;
        let has_service = service_name.is_some();
        Ok(ProxyConfiguration {
            connectivity,
            endpoint: endpoint.clone(),
            path: path.clone(),
            service_name,
            service_owner: has_service.then(|| owner.unwrap_or(account).to_owned()),
            credential: credential.credential()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Describe {
    custom_key_store_id: Option<String>,
    custom_key_store_name: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// DescribeCustomKeyStores.
pub(in crate::simulator) fn describe(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: Describe = wire::parse(body)?;
    let (id, name) = (
        request.custom_key_store_id.as_deref(),
        request.custom_key_store_name.as_deref(),
    );
    if id.is_some() && name.is_some() {
        return Err(
            Kind::Validation.because("Give a custom key store's id or its name, and not both.")
        );
    }
    world.read(|state| {
        let place = state.place(&call.caller.account, &call.caller.region);
        let stores = place.into_iter().flat_map(|place| place.stores.values());
        let is_meant = |store: &&Store| {
            id.is_none_or(|id| id == store.id) && name.is_none_or(|name| name == store.name)
        };
        let found: Vec<_> = stores.filter(is_meant).collect();
        if let (true, Some(named)) = (found.is_empty(), id.or(name)) {
            return Err(no_store(named));
        }
        let items = found
            .iter()
            .map(|store| (store.id.as_str(), store.described()));
        request.paging.page("CustomKeyStores", items, 1000, 1000)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct StoreId {
    custom_key_store_id: Option<String>,
}

impl StoreId {
    /// The id in a request that has nothing else.
    pub(in crate::simulator) fn of(body: &[u8]) -> Result<String, Exception> {
        let request: Self = wire::parse(body)?;
        let id = need(&request.custom_key_store_id, "customKeyStoreId")?;
        check_text(id, 1..=64, |_| true, "customKeyStoreId")?;
        Ok(id.clone())
    }
}

/// DeleteCustomKeyStore.
pub(in crate::simulator) async fn delete(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let (id, caller) = (StoreId::of(body)?, &call.caller);
    world
        .change(|state| {
            let place = state.known_mut(&caller.account, &caller.region);
            let place = place.ok_or_else(|| no_store(&id))?;
            let store = place.stores.get(&id).ok_or_else(|| no_store(&id))?;
            if place.keys.values().any(|key| key.store == id) {
                return Err(Kind::CustomKeyStoreHasCmks.because("The custom key store has KMS keys: schedule their deletion and wait until they are gone."));
            }
            if store.state != ConnectionState::Disconnected {
                return Err(Kind::CustomKeyStoreInvalidState.because("The custom key store must be disconnected before it can be deleted."));
            }
            place.stores.remove(&id);
            Ok(())
        })
        .await?;
    world.counters.forget(&id);
    Ok(json!({}))
}
