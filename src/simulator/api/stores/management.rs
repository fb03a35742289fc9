//! CreateCustomKeyStore, DescribeCustomKeyStores, DeleteCustomKeyStore.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::proxy_calls::{ProxyClient, check_serving};
use crate::simulator::api::stores::rules::{
    CredentialFields, check_name, check_service, check_store_limit, check_unique_name,
    check_unique_proxy, connectivity,
};
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::kms::Kms;
use crate::simulator::state::RegionState;
use crate::simulator::state::stores::{
    ConnectionState, Connectivity, CustomKeyStore, ProxyConfiguration,
};
use crate::simulator::wire::exception::{Exception, ExceptionKind, no_store};
use crate::simulator::wire::pages::Paging;
use crate::simulator::wire::patterns::{check_endpoint, check_path};
use crate::simulator::wire::{self, check_text, need};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateStoreRequest {
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
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: CreateStoreRequest = wire::parse(body)?;
    let name = need(&request.custom_key_store_name, "customKeyStoreName")?;
    check_name(name)?;
    request.check_type()?;
    let (account, region) = (&call.caller.account, &call.caller.region);
    let proxy = request.proxy(account)?;
    kms.endpoint_services.check(&proxy, account, region)?;
    let is_free = |region_state: &RegionState| {
        check_store_limit(region_state)?;
        check_unique_name(region_state, name, None)?;
        check_unique_proxy(region_state, &proxy, None)
    };
    kms.read(|state| state.region_state(account, region).map_or(Ok(()), is_free))?;
    let store = CustomKeyStore::new(name, &proxy)?;
    if proxy.connectivity == Connectivity::PublicEndpoint {
        verify(kms, call, None, &proxy, "CreateCustomKeyStore").await?;
    }
    kms.change(|state| {
        let region_state = state.region_state_or_new(account, region);
        is_free(region_state)?;
        let id = store.id.clone();
        region_state.stores.insert(id.clone(), store);
        Ok(json!({ "CustomKeyStoreId": id }))
    })
    .await
}

/// Checks the health of a proxy with a configuration that is not active yet.
pub(in crate::simulator) async fn verify(
    kms: &Kms,
    call: &KmsCall,
    store: Option<&str>,
    proxy: &ProxyConfiguration,
    kms_operation: &'static str,
) -> Result<(), Exception> {
    let link = kms.link(proxy.link_settings(&call.caller.region))?;
    let client = ProxyClient::for_health(kms, &link, store, kms_operation, call);
    let health = client.health().await.and_then(check_serving);
    health.map(drop).map_err(|error| error.for_store())
}

impl CreateStoreRequest {
    fn check_type(&self) -> Result<(), Exception> {
        match self.custom_key_store_type.as_deref() {
            Some("EXTERNAL_KEY_STORE") => Ok(()),
            None | Some("AWS_CLOUDHSM") => Err(ExceptionKind::Validation.with_message(
                "The simulator has custom key stores of type EXTERNAL_KEY_STORE only.",
            )),
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
struct DescribeStoresRequest {
    custom_key_store_id: Option<String>,
    custom_key_store_name: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// DescribeCustomKeyStores.
pub(in crate::simulator) fn describe(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: DescribeStoresRequest = wire::parse(body)?;
    let (id, name) = (
        request.custom_key_store_id.as_deref(),
        request.custom_key_store_name.as_deref(),
    );
    if id.is_some() && name.is_some() {
        return Err(ExceptionKind::Validation
            .with_message("CustomKeyStoreId and CustomKeyStoreName cannot both be specified."));
    }
    kms.read(|state| {
        let region_state = state.region_state(&call.caller.account, &call.caller.region);
        let stores = region_state
            .into_iter()
            .flat_map(|region_state| region_state.stores.values());
        let is_requested = |store: &&CustomKeyStore| {
            id.is_none_or(|id| id == store.id) && name.is_none_or(|name| name == store.name)
        };
        let found: Vec<_> = stores.filter(is_requested).collect();
        if let (true, Some(named)) = (found.is_empty(), id.or(name)) {
            return Err(no_store(named));
        }
        let items = found
            .iter()
            .map(|store| (store.id.as_str(), store.to_description()));
        request.paging.page("CustomKeyStores", items, 1000, 1000)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct StoreIdRequest {
    custom_key_store_id: Option<String>,
}

impl StoreIdRequest {
    /// Returns the id of a request that has no other parameter.
    pub(in crate::simulator) fn of(body: &[u8]) -> Result<String, Exception> {
        let request: Self = wire::parse(body)?;
        let id = need(&request.custom_key_store_id, "customKeyStoreId")?;
        check_text(id, 1..=64, |_| true, "customKeyStoreId")?;
        Ok(id.clone())
    }
}

/// DeleteCustomKeyStore.
pub(in crate::simulator) async fn delete(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let (id, caller) = (StoreIdRequest::of(body)?, &call.caller);
    kms
        .change(|state| {
            let region_state = state.region_state_mut(&caller.account, &caller.region);
            let region_state = region_state.ok_or_else(|| no_store(&id))?;
            let store = region_state.stores.get(&id).ok_or_else(|| no_store(&id))?;
            if region_state.keys.values().any(|key| key.store == id) {
                return Err(ExceptionKind::CustomKeyStoreHasCmks.with_message("The custom key store has KMS keys: schedule their deletion and wait until they are gone."));
            }
            if store.state != ConnectionState::Disconnected {
                return Err(ExceptionKind::CustomKeyStoreInvalidState.with_message("The custom key store must be disconnected before it can be deleted."));
            }
            region_state.stores.remove(&id);
            Ok(())
        })
        .await?;
    kms.metrics.forget(&id);
    Ok(json!({}))
}
