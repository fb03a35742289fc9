//! The properties of VPC endpoint services that KMS checks: the owner and the accounts that may connect.

use std::collections::{BTreeMap, BTreeSet};

use crate::simulator::state::stores::{Connectivity, ProxyConfiguration};
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::names::endpoint_service_prefix;

/// A VPC endpoint service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointService {
    /// The account that owns the service, 12 digits.
    pub owner: String,
    /// Accounts that may connect, in addition to the owner.
    pub allowed: BTreeSet<String>,
}

/// The endpoint services by name. If the list is empty, every name is accepted as a service that any account may connect to.
#[derive(Clone, Debug, Default)]
pub struct EndpointServices(BTreeMap<String, EndpointService>);

impl EndpointServices {
    /// Creates a list of services.
    pub fn new(services: impl IntoIterator<Item = (String, EndpointService)>) -> Self {
        Self(services.into_iter().collect())
    }

    /// Checks that a store of `account` in `region` can use the service of its configuration. A public endpoint is always accepted.
    pub(in crate::simulator) fn check(
        &self,
        proxy: &ProxyConfiguration,
        account: &str,
        region: &str,
    ) -> Result<(), Exception> {
        let (Connectivity::VpcEndpointService, Some(name)) =
            (proxy.connectivity, proxy.service_name.as_deref())
        else {
            return Ok(());
        };
        let is_here =
            endpoint_service_prefix(region).is_some_and(|prefix| name.starts_with(&prefix));
        if !is_here {
            return Err(not_found(name, &format!("in the Region {region}")));
        }
        if self.0.is_empty() {
            return Ok(());
        }
        let owner = proxy.service_owner.as_deref().unwrap_or(account);
        let service = self.0.get(name).filter(|service| service.owner == owner);
        let service = service.ok_or_else(|| not_found(name, &format!("of the account {owner}")))?;
        match owner == account || service.allowed.contains(account) {
            true => Ok(()),
            false => Err(ExceptionKind::XksProxyVpcEndpointServiceInvalidConfiguration.with_message(format!(
                "The VPC endpoint service {name} of the account {owner} does not allow a principal of the account {account}: add one to its allowed principals."
            ))),
        }
    }
}

fn not_found(name: &str, scope: &str) -> Exception {
    ExceptionKind::XksProxyVpcEndpointServiceNotFound.with_message(format!(
        "AWS KMS could not find the VPC endpoint service {name} {scope}: verify its name, its owner, and that the KMS service principal of the Region is an allowed principal."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::simulator::state::stores::ProxyCredential;

    const NAME: &str = "com.amazonaws.vpce.eu-west-1.vpce-svc-0a";
    const OURS: &str = "111122223333";
    const THEIRS: &str = "444455556666";

    fn store(name: &str, owner: Option<&str>) -> ProxyConfiguration {
        ProxyConfiguration {
            connectivity: Connectivity::VpcEndpointService,
            endpoint: "https://a.example".into(),
            path: "/kms/xks/v1".into(),
            service_name: Some(name.into()),
            service_owner: owner.map(str::to_owned),
            credential: ProxyCredential {
                access_key_id: "A".repeat(20),
                secret: Secret::new("s".repeat(43)),
                since: 0.0,
            },
        }
    }

    fn rejected(services: &EndpointServices, proxy: &ProxyConfiguration) -> Option<ExceptionKind> {
        let checked = services.check(proxy, OURS, "eu-west-1");
        checked.err().map(|error| error.kind)
    }

    fn services(owner: &str, allowed: &[&str]) -> EndpointServices {
        let service = EndpointService {
            owner: owner.into(),
            allowed: allowed.iter().map(|one| (*one).to_owned()).collect(),
        };
        EndpointServices::new([(NAME.to_owned(), service)])
    }

    #[test]
    fn a_service_belongs_to_its_region_and_owner() {
        let absent = Some(ExceptionKind::XksProxyVpcEndpointServiceNotFound);
        let any = EndpointServices::default();
        assert_eq!(rejected(&any, &store(NAME, Some(THEIRS))), None);
        let elsewhere = "com.amazonaws.vpce.eu-west-2.vpce-svc-0a";
        assert_eq!(rejected(&any, &store(elsewhere, None)), absent);
        assert_eq!(rejected(&services(OURS, &[]), &store(NAME, None)), None);
        assert_eq!(
            rejected(&services(OURS, &[]), &store(NAME, Some(THEIRS))),
            absent
        );
        assert_eq!(
            rejected(&services(THEIRS, &[OURS]), &store(NAME, None)),
            absent
        );
        let other = "com.amazonaws.vpce.eu-west-1.vpce-svc-0b";
        assert_eq!(rejected(&services(OURS, &[]), &store(other, None)), absent);
    }

    #[test]
    fn a_service_of_another_account_must_allow_the_caller() {
        let proxy = store(NAME, Some(THEIRS));
        assert_eq!(rejected(&services(THEIRS, &[OURS]), &proxy), None);
        assert_eq!(
            rejected(&services(THEIRS, &["777788889999"]), &proxy),
            Some(ExceptionKind::XksProxyVpcEndpointServiceInvalidConfiguration)
        );
        let public = ProxyConfiguration {
            connectivity: Connectivity::PublicEndpoint,
            service_name: None,
            ..proxy
        };
        assert_eq!(rejected(&services(THEIRS, &[]), &public), None);
    }
}
