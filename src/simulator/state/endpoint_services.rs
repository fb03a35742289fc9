//! VPC endpoint services, as far as KMS looks at them: whose they are, and whom they let connect.

use std::collections::{BTreeMap, BTreeSet};

use crate::simulator::state::stores::{Connectivity, ProxyConfiguration};
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::names::endpoint_service_prefix;

/// A VPC endpoint service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointService {
    /// The account that has it, 12 digits.
    pub owner: String,
    /// Accounts whose principals may connect, besides the owner.
    pub allowed: BTreeSet<String>,
}

/// The endpoint services by name. Without any, every name is that of a service which its alleged owner has, and which lets everybody
/// connect.
#[derive(Clone, Debug, Default)]
pub struct EndpointServices(BTreeMap<String, EndpointService>);

impl EndpointServices {
    /// These services.
    pub fn new(services: impl IntoIterator<Item = (String, EndpointService)>) -> Self {
        Self(services.into_iter().collect())
    }

    /// Whether a store of `account` in `region` can use the service of its configuration. Nothing is wrong with a public endpoint.
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
            false => Err(Kind::XksProxyVpcEndpointServiceInvalidConfiguration.because(format!(
                "The VPC endpoint service {name} of the account {owner} allows no principal of the account {account}: add one to its allowed principals."
            ))),
        }
    }
}

fn not_found(name: &str, which: &str) -> Exception {
    Kind::XksProxyVpcEndpointServiceNotFound.because(format!(
        "AWS KMS could not find the VPC endpoint service {name} {which}: verify its name, its owner, and that the KMS service principal of the Region is an allowed principal."
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

    fn refused(services: &EndpointServices, proxy: &ProxyConfiguration) -> Option<Kind> {
        let checked = services.check(proxy, OURS, "eu-west-1");
        checked.err().map(|error| error.kind)
    }

    fn of(owner: &str, allowed: &[&str]) -> EndpointServices {
        let service = EndpointService {
            owner: owner.into(),
            allowed: allowed.iter().map(|one| (*one).to_owned()).collect(),
        };
        EndpointServices::new([(NAME.to_owned(), service)])
    }

    #[test]
    fn a_service_is_of_its_region_and_owner() {
        let absent = Some(Kind::XksProxyVpcEndpointServiceNotFound);
        let any = EndpointServices::default();
        assert_eq!(refused(&any, &store(NAME, Some(THEIRS))), None);
        let elsewhere = "com.amazonaws.vpce.eu-west-2.vpce-svc-0a";
        assert_eq!(refused(&any, &store(elsewhere, None)), absent);
        assert_eq!(refused(&of(OURS, &[]), &store(NAME, None)), None);
        assert_eq!(refused(&of(OURS, &[]), &store(NAME, Some(THEIRS))), absent);
        assert_eq!(refused(&of(THEIRS, &[OURS]), &store(NAME, None)), absent);
        let other = "com.amazonaws.vpce.eu-west-1.vpce-svc-0b";
        assert_eq!(refused(&of(OURS, &[]), &store(other, None)), absent);
    }

    #[test]
    fn another_accounts_service_must_allow_ours() {
        let proxy = store(NAME, Some(THEIRS));
        assert_eq!(refused(&of(THEIRS, &[OURS]), &proxy), None);
        assert_eq!(
            refused(&of(THEIRS, &["777788889999"]), &proxy),
            Some(Kind::XksProxyVpcEndpointServiceInvalidConfiguration)
        );
        let public = ProxyConfiguration {
            connectivity: Connectivity::PublicEndpoint,
            service_name: None,
            ..proxy
        };
        assert_eq!(refused(&of(THEIRS, &[]), &public), None);
    }
}
