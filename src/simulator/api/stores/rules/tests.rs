//! Valid and invalid parameters of custom key stores.

use super::*;
use crate::secret::Secret;
use crate::simulator::state::stores::{Connectivity, CustomKeyStore};

fn proxy(endpoint: &str, path: &str, service: Option<&str>) -> ProxyConfiguration {
    ProxyConfiguration {
        connectivity: match service {
            None => Connectivity::PublicEndpoint,
            Some(_) => Connectivity::VpcEndpointService,
        },
        endpoint: endpoint.to_owned(),
        path: path.to_owned(),
        service_name: service.map(str::to_owned),
        service_owner: None,
        credential: ProxyCredential {
            access_key_id: "A".repeat(20),
            secret: Secret::new("s".repeat(43)),
            since: 0.0,
        },
    }
}

const A: &str = "https://a.example";
const PATH: &str = "/kms/xks/v1";
const SERVICE: &str = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0";

#[test]
fn credentials_must_have_the_form_of_the_xks_api() {
    let made = |id: &str, secret: &str| {
        let body = serde_json::json!({ "AccessKeyId": id, "RawSecretAccessKey": secret });
        let fields: CredentialFields = serde_json::from_value(body).unwrap();
        fields.credential()
    };
    let (id, secret) = ("A2".repeat(10), "a+".repeat(22));
    assert!(made(&id, &secret).is_ok());
    for (id, secret) in [
        (&id[1..], secret.as_str()),
        (&id.replace('2', "1"), &secret),
        (&"A".repeat(31), &secret),
        (&id, &secret[2..]),
        (&id, &"a".repeat(65)),
        (&id, &secret.replace('+', "-")),
    ] {
        let error = made(id, secret).err().unwrap();
        assert_eq!(error.kind, ExceptionKind::Validation);
        assert!(!error.message.contains(secret), "a secret is shown");
    }
}

#[test]
fn only_vpc_connectivity_has_an_endpoint_service() {
    use Connectivity::{PublicEndpoint, VpcEndpointService};
    const OWNER: Option<&str> = Some("111122223333");
    let is_right = |connectivity, name, owner| check_service(connectivity, name, owner).is_ok();
    assert!(is_right(PublicEndpoint, None, None));
    assert!(is_right(VpcEndpointService, Some(SERVICE), None));
    assert!(is_right(VpcEndpointService, Some(SERVICE), OWNER));
    assert!(!is_right(PublicEndpoint, Some(SERVICE), None));
    assert!(!is_right(PublicEndpoint, None, OWNER));
    assert!(!is_right(VpcEndpointService, None, OWNER));
    assert!(!is_right(VpcEndpointService, Some(SERVICE), Some("1234")));
    assert!(!is_right(
        VpcEndpointService,
        Some("com.amazonaws.something"),
        None
    ));
}

#[test]
fn stores_must_not_share_proxies_or_names() {
    let mut region_state = RegionState::default();
    let store = CustomKeyStore::new("one", &proxy(A, PATH, None)).unwrap();
    let id = store.id.clone();
    region_state.stores.insert(id.clone(), store);
    let shared = |new: &ProxyConfiguration, own| {
        check_unique_proxy(&region_state, new, own)
            .err()
            .map(|error| error.kind)
    };
    assert_eq!(
        shared(&proxy(A, PATH, None), None),
        Some(ExceptionKind::XksProxyUriInUse)
    );
    assert_eq!(
        shared(&proxy("https://A.example", PATH, None), None),
        Some(ExceptionKind::XksProxyUriInUse)
    );
    assert_eq!(shared(&proxy(A, PATH, None), Some(&id)), None, "its own");
    assert_eq!(shared(&proxy(A, "/b/kms/xks/v1", None), None), None);
    assert_eq!(
        shared(&proxy(A, "/b/kms/xks/v1", Some(SERVICE)), None),
        Some(ExceptionKind::XksProxyUriEndpointInUse)
    );
    let vpc = proxy("https://b.example", PATH, Some(SERVICE));
    assert_eq!(shared(&vpc, None), None);
    let store = CustomKeyStore::new("two", &vpc).unwrap();
    region_state.stores.insert(store.id.clone(), store);
    let twin = proxy("https://c.example", PATH, Some(SERVICE));
    let error = check_unique_proxy(&region_state, &twin, None).unwrap_err();
    assert_eq!(error.kind, ExceptionKind::XksProxyVpcEndpointServiceInUse);
    assert!(check_unique_name(&region_state, "two", None).is_err());
    assert!(
        check_unique_name(
            &region_state,
            "two",
            region_state
                .stores
                .values()
                .find(|s| s.name == "two")
                .map(|s| s.id.as_str())
        )
        .is_ok()
    );
}

#[test]
fn an_account_has_at_most_ten_stores() {
    let mut region_state = RegionState::default();
    for number in 0..MOST_STORES {
        assert!(check_store_limit(&region_state).is_ok());
        let store = CustomKeyStore::new(&number.to_string(), &proxy(A, PATH, None)).unwrap();
        region_state.stores.insert(store.id.clone(), store);
    }
    assert_eq!(
        check_store_limit(&region_state).unwrap_err().kind,
        ExceptionKind::LimitExceeded
    );
}
