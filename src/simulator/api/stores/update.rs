//! UpdateCustomKeyStore. Some parameters can change only while the store is disconnected.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::stores::connect::store_mut;
use crate::simulator::api::stores::management::verify;
use crate::simulator::api::stores::rules::{
    CredentialFields, OWNER, check_name, check_service, check_unique_name, check_unique_proxy,
    connectivity,
};
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::kms::Kms;
use crate::simulator::proxy::link::ProxyLink;
use crate::simulator::state::stores::{
    ConnectionState, Connectivity, CustomKeyStore, ProxyConfiguration,
};
use crate::simulator::wire::exception::{Exception, ExceptionKind, no_store};
use crate::simulator::wire::patterns::{
    check_account, check_endpoint, check_path, check_service_name,
};
use crate::simulator::wire::{self, need};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateStoreRequest {
    custom_key_store_id: Option<String>,
    new_custom_key_store_name: Option<String>,
    key_store_password: Option<String>,
    cloud_hsm_cluster_id: Option<String>,
    xks_proxy_uri_endpoint: Option<String>,
    xks_proxy_uri_path: Option<String>,
    xks_proxy_vpc_endpoint_service_name: Option<String>,
    xks_proxy_vpc_endpoint_service_owner: Option<String>,
    xks_proxy_authentication_credential: Option<CredentialFields>,
    xks_proxy_connectivity: Option<String>,
}

/// UpdateCustomKeyStore.
pub(in crate::simulator) async fn update(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: UpdateStoreRequest = wire::parse(body)?;
    let id = need(&request.custom_key_store_id, "customKeyStoreId")?;
    request.check_form()?;
    // Repeat the update if a concurrent one was applied, so that each is verified against the current store and none is lost.
    while !attempt(kms, call, &request, id).await? {}
    Ok(json!({}))
}

/// Returns whether the update was applied. It is not applied if the store was updated during the call to the proxy.
async fn attempt(
    kms: &Arc<Kms>,
    call: &KmsCall,
    request: &UpdateStoreRequest,
    id: &str,
) -> Result<bool, Exception> {
    let caller = &call.caller;
    let plan = kms.read(|state| {
        let region_state = state.region_state(&caller.account, &caller.region);
        let found = region_state
            .and_then(|region_state| Some((region_state, region_state.stores.get(id)?)));
        let (region_state, store) = found.ok_or_else(|| no_store(id))?;
        let proxy = request.applied_to(store)?;
        let services = &kms.endpoint_services;
        services.check(&proxy, &caller.account, &caller.region)?;
        check_unique_proxy(region_state, &proxy, Some(id))?;
        if let Some(name) = &request.new_custom_key_store_name {
            check_unique_name(region_state, name, Some(id))?;
        }
        Ok((proxy, store.is_connected(), store.revision))
    })?;
    let (mut proxy, is_connected, revision) = plan;
    if proxy.service_name.is_some() && proxy.service_owner.is_none() {
        proxy.service_owner = Some(caller.account.clone());
    }
    let is_reachable = is_connected || proxy.connectivity == Connectivity::PublicEndpoint;
    if request.changes_proxy() && is_reachable {
        verify(kms, call, Some(id), &proxy, "UpdateCustomKeyStore").await?;
    }
    let link = kms.link(proxy.link_settings(&caller.region))?;
    kms.change(|state| {
        let region_state = state.region_state_or_new(&caller.account, &caller.region);
        check_unique_proxy(region_state, &proxy, Some(id))?;
        if let Some(name) = &request.new_custom_key_store_name {
            check_unique_name(region_state, name, Some(id))?;
        }
        let store = store_mut(state, &caller.account, &caller.region, id)?;
        // The state of the store may have changed during the call to the proxy.
        request.applied_to(store)?;
        let is_current = store.revision == revision;
        if is_current {
            request.apply(store, proxy, link);
        }
        Ok(is_current)
    })
    .await
}

impl UpdateStoreRequest {
    fn check_form(&self) -> Result<(), Exception> {
        if self.key_store_password.is_some() || self.cloud_hsm_cluster_id.is_some() {
            return Err(ExceptionKind::Validation.with_message(
                "CloudHsmClusterId and KeyStorePassword are for AWS CloudHSM key stores.",
            ));
        }
        self.new_custom_key_store_name
            .as_deref()
            .map_or(Ok(()), check_name)?;
        self.xks_proxy_uri_endpoint
            .as_deref()
            .map_or(Ok(()), check_endpoint)?;
        self.xks_proxy_uri_path
            .as_deref()
            .map_or(Ok(()), check_path)?;
        self.xks_proxy_vpc_endpoint_service_name
            .as_deref()
            .map_or(Ok(()), check_service_name)?;
        self.xks_proxy_vpc_endpoint_service_owner
            .as_deref()
            .map_or(Ok(()), |owner| check_account(owner, OWNER))?;
        self.xks_proxy_authentication_credential
            .as_ref()
            .map_or(Ok(()), |fields| fields.credential().map(drop))?;
        match self.changes_proxy() || self.new_custom_key_store_name.is_some() {
            true => Ok(()),
            false => Err(ExceptionKind::Validation
                .with_message("There is nothing to update: specify at least one new value.")),
        }
    }

    fn changes_proxy(&self) -> bool {
        self.changes_place()
            || self.xks_proxy_uri_path.is_some()
            || self.xks_proxy_authentication_credential.is_some()
    }

    /// Returns whether the request has parameters that can change only while the store is disconnected.
    fn changes_place(&self) -> bool {
        self.xks_proxy_uri_endpoint.is_some()
            || self.xks_proxy_connectivity.is_some()
            || self.xks_proxy_vpc_endpoint_service_name.is_some()
            || self.xks_proxy_vpc_endpoint_service_owner.is_some()
    }

    /// Returns the new configuration of the store, if the state of the store allows the update.
    fn applied_to(&self, store: &CustomKeyStore) -> Result<ProxyConfiguration, Exception> {
        let wrong_state =
            |message: &str| Err(ExceptionKind::CustomKeyStoreInvalidState.with_message(message));
        match store.state {
            ConnectionState::Disconnected => {}
            ConnectionState::Connected if !self.changes_place() => {}
            ConnectionState::Connected => {
                return wrong_state(
                    "Endpoint and connectivity of a custom key store can change only while it is disconnected.",
                );
            }
            ConnectionState::Connecting | ConnectionState::Failed(_) => {
                return wrong_state(
                    "The custom key store must be connected or disconnected before it can be updated.",
                );
            }
        }
        let mut proxy = store.proxy.clone();
        if let Some(text) = &self.xks_proxy_connectivity {
            proxy.connectivity = connectivity(text)?;
            if proxy.connectivity == Connectivity::PublicEndpoint {
                (proxy.service_name, proxy.service_owner) = (None, None);
            }
        }
        if let Some(name) = &self.xks_proxy_vpc_endpoint_service_name {
            proxy.service_name = Some(name.clone());
        }
        if let Some(owner) = &self.xks_proxy_vpc_endpoint_service_owner {
            proxy.service_owner = Some(owner.clone());
        }
        if let Some(endpoint) = &self.xks_proxy_uri_endpoint {
            proxy.endpoint.clone_from(endpoint);
        }
        if let Some(path) = &self.xks_proxy_uri_path {
            proxy.path.clone_from(path);
        }
        if let Some(fields) = &self.xks_proxy_authentication_credential {
            proxy.credential = fields.credential()?;
        }
        let (name, owner) = (&proxy.service_name, &proxy.service_owner);
        check_service(proxy.connectivity, name.as_deref(), owner.as_deref())?;
        Ok(proxy)
    }

    fn apply(&self, store: &mut CustomKeyStore, proxy: ProxyConfiguration, link: ProxyLink) {
        if let Some(name) = &self.new_custom_key_store_name {
            store.name.clone_from(name);
        }
        if self.changes_proxy() {
            store.proxy = proxy;
            store.revision += 1;
            if store.is_connected() {
                store.runtime.set_link(Some(Arc::new(link)));
            }
        }
    }
}
