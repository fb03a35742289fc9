//! The rules for the parameters of a custom key store, and for what two stores must not share.

use serde::Deserialize;

use crate::simulator::state::RegionState;
use crate::simulator::state::stores::{Connectivity, ProxyConfiguration, ProxyCredential};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::patterns::{check_account, check_service_name};
use crate::simulator::wire::{self, SecretText, check_text, need};

/// The member that names the owner of an endpoint service.
pub(in crate::simulator) const OWNER: &str = "xksProxyVpcEndpointServiceOwner";

/// The maximum number of custom key stores of an account in a Region.
const MOST_STORES: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct CredentialFields {
    access_key_id: Option<String>,
    raw_secret_access_key: Option<SecretText>,
}

impl CredentialFields {
    /// Checks the credential (XKS API, section 7) and returns it.
    pub(in crate::simulator) fn credential(&self) -> Result<ProxyCredential, Exception> {
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
            secret.0.expose(),
            43..=64,
            is_secret,
            &format!("{member}.rawSecretAccessKey"),
        )?;
        Ok(ProxyCredential {
            access_key_id: id.clone(),
            secret: secret.0.clone(),
            since: now(),
        })
    }
}

pub(in crate::simulator) fn connectivity(text: &str) -> Result<Connectivity, Exception> {
    match text {
        "PUBLIC_ENDPOINT" => Ok(Connectivity::PublicEndpoint),
        "VPC_ENDPOINT_SERVICE" => Ok(Connectivity::VpcEndpointService),
        _ => Err(wire::invalid(
            "xksProxyConnectivity",
            "Member must satisfy enum value set: [PUBLIC_ENDPOINT, VPC_ENDPOINT_SERVICE]",
        )),
    }
}

pub(in crate::simulator) fn check_name(name: &str) -> Result<(), Exception> {
    check_text(name, 1..=256, |_| true, "customKeyStoreName")
}

/// Checks the endpoint service. Only VPC connectivity has one: there, its name is required and its owner is optional.
pub(in crate::simulator) fn check_service(
    connectivity: Connectivity,
    name: Option<&str>,
    owner: Option<&str>,
) -> Result<(), Exception> {
    let member = "xksProxyVpcEndpointServiceName";
    owner.map_or(Ok(()), |owner| check_account(owner, OWNER))?;
    match (connectivity, name, owner) {
        (Connectivity::PublicEndpoint, None, None) => Ok(()),
        (Connectivity::PublicEndpoint, Some(_), _) => Err(wire::invalid(
            member,
            "Member must be null with PUBLIC_ENDPOINT",
        )),
        (Connectivity::PublicEndpoint, None, Some(_)) => Err(wire::invalid(
            OWNER,
            "Member must be null with PUBLIC_ENDPOINT",
        )),
        (Connectivity::VpcEndpointService, None, _) => Err(wire::invalid(
            member,
            "Member must not be null with VPC_ENDPOINT_SERVICE",
        )),
        (Connectivity::VpcEndpointService, Some(name), _) => check_service_name(name),
    }
}

/// Checks that the account can have one more store.
pub(in crate::simulator) fn check_store_limit(region_state: &RegionState) -> Result<(), Exception> {
    match region_state.stores.len() < MOST_STORES {
        true => Ok(()),
        false => Err(ExceptionKind::LimitExceeded.with_message(format!(
            "An account has at most {MOST_STORES} custom key stores in a Region."
        ))),
    }
}

/// Checks that no store except `own` has this name.
pub(in crate::simulator) fn check_unique_name(
    region_state: &RegionState,
    name: &str,
    own: Option<&str>,
) -> Result<(), Exception> {
    let mut others = region_state
        .stores
        .values()
        .filter(|store| Some(store.id.as_str()) != own);
    match others.any(|store| store.name == name) {
        false => Ok(()),
        true => Err(ExceptionKind::CustomKeyStoreNameInUse.with_message(format!(
            "Custom key store name {name:?} is already in use in this account and Region."
        ))),
    }
}

/// Checks that no store except `own` has this endpoint and path. Stores with VPC connectivity must share neither the DNS name nor the
/// endpoint service.
pub(in crate::simulator) fn check_unique_proxy(
    region_state: &RegionState,
    proxy: &ProxyConfiguration,
    own: Option<&str>,
) -> Result<(), Exception> {
    for store in region_state
        .stores
        .values()
        .filter(|store| Some(store.id.as_str()) != own)
    {
        let other = &store.proxy;
        let shares_name = other.endpoint.eq_ignore_ascii_case(&proxy.endpoint);
        let is_vpc =
            |proxy: &ProxyConfiguration| proxy.connectivity == Connectivity::VpcEndpointService;
        let in_use = if proxy.service_name.is_some() && proxy.service_name == other.service_name {
            ExceptionKind::XksProxyVpcEndpointServiceInUse.with_message("The VPC endpoint service is in use by another external key store of this account and Region.")
        } else if shares_name && (is_vpc(proxy) || is_vpc(other)) {
            ExceptionKind::XksProxyUriEndpointInUse.with_message("The proxy URI endpoint is in use by another external key store of this account and Region.")
        } else if shares_name && other.path == proxy.path {
            ExceptionKind::XksProxyUriInUse.with_message("The proxy URI endpoint with this path is in use by another external key store of this account and Region.")
        } else {
            continue;
        };
        return Err(in_use);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
