//! CreateCustomKeyStore, DescribeCustomKeyStores, DeleteCustomKeyStore.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::Call;
use super::calls::{Asker, serving};
use super::exception::{Exception, Kind, no_store};
use super::pages::Paging;
use super::random;
use super::state::{Live, Place, now};
use super::stores::{ConnectionState, Connectivity, ProxyConfiguration, ProxyCredential, Store};
use super::wire::{self, check, check_text, need};
use super::world::World;
use crate::secret::Secret;

/// As many custom key stores has an account in a Region at the most.
const MOST_STORES: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    custom_key_store_name: Option<String>,
    custom_key_store_type: Option<String>,
    xks_proxy_uri_endpoint: Option<String>,
    xks_proxy_uri_path: Option<String>,
    xks_proxy_vpc_endpoint_service_name: Option<String>,
    xks_proxy_authentication_credential: Option<CredentialFields>,
    xks_proxy_connectivity: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CredentialFields {
    access_key_id: Option<String>,
    raw_secret_access_key: Option<String>,
}

/// CreateCustomKeyStore.
pub(super) async fn create(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: Create = wire::parse(body)?;
    let name = need(&request.custom_key_store_name, "customKeyStoreName")?;
    check_name(name)?;
    match request.custom_key_store_type.as_deref() {
        Some("EXTERNAL_KEY_STORE") => {}
        None | Some("AWS_CLOUDHSM") => {
            return Err(Kind::UnsupportedOperation
                .because("The simulator has custom key stores of type EXTERNAL_KEY_STORE only."));
        }
        Some(_) => {
            return Err(wire::invalid(
                "customKeyStoreType",
                "Member must satisfy enum value set: [AWS_CLOUDHSM, EXTERNAL_KEY_STORE]",
            ));
        }
    }
    let proxy = request.proxy()?;
    let caller = &call.caller;
    let is_free = |place: &Place| {
        check_room(place)?;
        check_unique_name(place, name, None)?;
        check_unique_proxy(place, &proxy, None)
    };
    world.read(|state| {
        state
            .place(&caller.account, &caller.region)
            .map_or(Ok(()), is_free)
    })?;
    let id = format!(
        "cks-{}",
        &random::hex(&random::bytes::<9>()?)
            .get(..17)
            .unwrap_or_default()
    );
    if proxy.connectivity == Connectivity::PublicEndpoint {
        verify(world, call, &id, &proxy, "CreateCustomKeyStore").await?;
    }
    world
        .change(|state| {
            let place = state.place_mut(&caller.account, &caller.region);
            is_free(place)?;
            let store = Store {
                id: id.clone(),
                name: name.clone(),
                created: now(),
                proxy: proxy.clone(),
                state: ConnectionState::Disconnected,
                attempt: 0,
                live: Arc::new(Live::default()),
            };
            place.stores.insert(id.clone(), store);
            Ok(())
        })
        .await?;
    Ok(json!({ "CustomKeyStoreId": id }))
}

/// Asks for health with a configuration that is not in use yet.
pub(super) async fn verify(
    world: &World,
    call: &Call,
    store: &str,
    proxy: &ProxyConfiguration,
    kms_operation: &'static str,
) -> Result<(), Exception> {
    let link = world.link(proxy.recipe(&call.caller.region))?;
    let asker = Asker::for_health(world, &link, store, kms_operation, call);
    let health = asker.health().await.and_then(serving);
    let health = health.map_err(|fault| fault.of_store())?;
    world.counters.health(store, health);
    Ok(())
}

impl Create {
    fn proxy(&self) -> Result<ProxyConfiguration, Exception> {
        let connectivity =
            connectivity(need(&self.xks_proxy_connectivity, "xksProxyConnectivity")?)?;
        let endpoint = need(&self.xks_proxy_uri_endpoint, "xksProxyUriEndpoint")?;
        let path = need(&self.xks_proxy_uri_path, "xksProxyUriPath")?;
        let credential = need(
            &self.xks_proxy_authentication_credential,
            "xksProxyAuthenticationCredential",
        )?;
        let service_name = self.xks_proxy_vpc_endpoint_service_name.clone();
        check_endpoint(endpoint)?;
        check_path(path)?;
        check_service_name(connectivity, service_name.as_deref())?;
        Ok(ProxyConfiguration {
            connectivity,
            endpoint: endpoint.clone(),
            path: path.clone(),
            service_name,
            credential: credential.credential()?,
        })
    }
}

impl CredentialFields {
    /// The credential, if its parts obey their rules (XKS API, section 7).
    pub(super) fn credential(&self) -> Result<ProxyCredential, Exception> {
        let member = "xksProxyAuthenticationCredential";
        let id = need(&self.access_key_id, &format!("{member}.accessKeyId"))?;
        let secret = need(
            &self.raw_secret_access_key,
            &format!("{member}.rawSecretAccessKey"),
        )?;
        check_text(
            id,
            20..=30,
            |b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'),
            &format!("{member}.accessKeyId"),
        )?;
        let is_secret = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+' | b'=');
        check_text(
            secret,
            43..=64,
            is_secret,
            &format!("{member}.rawSecretAccessKey"),
        )?;
        Ok(ProxyCredential {
            access_key_id: id.clone(),
            secret: Secret::new(secret.clone()),
            since: now(),
        })
    }
}

pub(super) fn connectivity(text: &str) -> Result<Connectivity, Exception> {
    match text {
        "PUBLIC_ENDPOINT" => Ok(Connectivity::PublicEndpoint),
        "VPC_ENDPOINT_SERVICE" => Ok(Connectivity::VpcEndpointService),
        _ => Err(wire::invalid(
            "xksProxyConnectivity",
            "Member must satisfy enum value set: [PUBLIC_ENDPOINT, VPC_ENDPOINT_SERVICE]",
        )),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Exception> {
    check_text(name, 1..=256, |_| true, "customKeyStoreName")
}

pub(super) fn check_endpoint(endpoint: &str) -> Result<(), Exception> {
    let member = "xksProxyUriEndpoint";
    let host = endpoint.strip_prefix("https://");
    check(host.is_some(), member, "Member must begin with https://")?;
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    check_text(
        endpoint,
        10..=128,
        |b| is_host(b) || matches!(b, b':' | b'/'),
        member,
    )?;
    let is_name = host.is_some_and(|host| host.bytes().all(is_host));
    check(
        is_name,
        member,
        "Member must satisfy regular expression pattern: ^https://[a-zA-Z0-9.-]+$ (KMS connects to port 443)",
    )
}

pub(super) fn check_path(path: &str) -> Result<(), Exception> {
    let member = "xksProxyUriPath";
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-');
    check_text(path, 10..=128, is_legal, member)?;
    let is_path = path.starts_with('/') && path.ends_with("/kms/xks/v1");
    check(
        is_path,
        member,
        "Member must satisfy regular expression pattern: ^(/[a-zA-Z0-9/_-]+)?/kms/xks/v1$",
    )
}

/// The name of an endpoint service is needed for a VPC, and may not be there otherwise.
pub(super) fn check_service_name(
    connectivity: Connectivity,
    name: Option<&str>,
) -> Result<(), Exception> {
    let member = "xksProxyVpcEndpointServiceName";
    match (connectivity, name) {
        (Connectivity::PublicEndpoint, None) => Ok(()),
        (Connectivity::PublicEndpoint, Some(_)) => Err(wire::invalid(
            member,
            "Member must be null with PUBLIC_ENDPOINT",
        )),
        (Connectivity::VpcEndpointService, None) => Err(wire::invalid(
            member,
            "Member must not be null with VPC_ENDPOINT_SERVICE",
        )),
        (Connectivity::VpcEndpointService, Some(name)) => {
            check_text(
                name,
                20..=64,
                |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'),
                member,
            )?;
            let is_name = name.contains(".amazonaws.vpce.") && name.contains(".vpce-svc-");
            check(
                is_name,
                member,
                "Member must satisfy regular expression pattern: com.amazonaws.vpce.REGION.vpce-svc-ID",
            )
        }
    }
}

fn check_room(place: &Place) -> Result<(), Exception> {
    match place.stores.len() < MOST_STORES {
        true => Ok(()),
        false => Err(Kind::LimitExceeded.because(format!(
            "An account has at most {MOST_STORES} custom key stores in a Region."
        ))),
    }
}

/// No store but `own` has this name.
pub(super) fn check_unique_name(
    place: &Place,
    name: &str,
    own: Option<&str>,
) -> Result<(), Exception> {
    let mut others = place
        .stores
        .values()
        .filter(|store| Some(store.id.as_str()) != own);
    match others.any(|store| store.name == name) {
        false => Ok(()),
        true => Err(Kind::CustomKeyStoreNameInUse.because(format!(
            "Custom key store name {name:?} is already in use in this account and Region."
        ))),
    }
}

/// No store but `own` has this endpoint and path. What goes through a VPC shares neither its DNS name nor its endpoint service.
pub(super) fn check_unique_proxy(
    place: &Place,
    proxy: &ProxyConfiguration,
    own: Option<&str>,
) -> Result<(), Exception> {
    for store in place
        .stores
        .values()
        .filter(|store| Some(store.id.as_str()) != own)
    {
        let other = &store.proxy;
        let shares_name = other.endpoint.eq_ignore_ascii_case(&proxy.endpoint);
        let is_vpc =
            |proxy: &ProxyConfiguration| proxy.connectivity == Connectivity::VpcEndpointService;
        let in_use = if proxy.service_name.is_some() && proxy.service_name == other.service_name {
            Kind::XksProxyVpcEndpointServiceInUse.because("The VPC endpoint service is in use by another external key store of this account and Region.")
        } else if shares_name && (is_vpc(proxy) || is_vpc(other)) {
            Kind::XksProxyUriEndpointInUse.because("The proxy URI endpoint is in use by another external key store of this account and Region.")
        } else if shares_name && other.path == proxy.path {
            Kind::XksProxyUriInUse.because("The proxy URI endpoint with this path is in use by another external key store of this account and Region.")
        } else {
            continue;
        };
        return Err(in_use);
    }
    Ok(())
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
pub(super) fn describe(world: &World, call: &Call, body: &[u8]) -> Result<Value, Exception> {
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
pub(super) struct StoreId {
    custom_key_store_id: Option<String>,
}

impl StoreId {
    /// The id in a request that has nothing else.
    pub(super) fn of(body: &[u8]) -> Result<String, Exception> {
        let request: Self = wire::parse(body)?;
        let id = need(&request.custom_key_store_id, "customKeyStoreId")?;
        check_text(id, 1..=64, |_| true, "customKeyStoreId")?;
        Ok(id.clone())
    }
}

/// DeleteCustomKeyStore.
pub(super) async fn delete(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let (id, caller) = (StoreId::of(body)?, &call.caller);
    world
        .change(|state| {
            let place = state.place_mut(&caller.account, &caller.region);
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
