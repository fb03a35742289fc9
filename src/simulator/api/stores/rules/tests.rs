//! Parameters of custom key stores, good and bad.

use super::*;
use crate::secret::Secret;
use crate::simulator::state::stores::{Connectivity, Store};

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
fn credentials_obey_the_xks_api() {
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
        assert_eq!(error.kind, Kind::Validation);
        assert!(!error.message.contains(secret), "a secret is shown");
    }
}

#[test]
fn an_endpoint_service_goes_with_a_vpc() {
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
fn what_stores_may_not_share() {
    let mut place = Place::default();
    let store = Store::new("one", &proxy(A, PATH, None)).unwrap();
    let id = store.id.clone();
    place.stores.insert(id.clone(), store);
    let shared = |new: &ProxyConfiguration, own| {
        check_unique_proxy(&place, new, own)
            .err()
            .map(|error| error.kind)
    };
    assert_eq!(
        shared(&proxy(A, PATH, None), None),
        Some(Kind::XksProxyUriInUse)
    );
    assert_eq!(
        shared(&proxy("https://A.example", PATH, None), None),
        Some(Kind::XksProxyUriInUse)
    );
    assert_eq!(shared(&proxy(A, PATH, None), Some(&id)), None, "its own");
    assert_eq!(shared(&proxy(A, "/b/kms/xks/v1", None), None), None);
    assert_eq!(
        shared(&proxy(A, "/b/kms/xks/v1", Some(SERVICE)), None),
        Some(Kind::XksProxyUriEndpointInUse)
    );
    let vpc = proxy("https://b.example", PATH, Some(SERVICE));
    assert_eq!(shared(&vpc, None), None);
    let store = Store::new("two", &vpc).unwrap();
    place.stores.insert(store.id.clone(), store);
    let twin = proxy("https://c.example", PATH, Some(SERVICE));
    let error = check_unique_proxy(&place, &twin, None).unwrap_err();
    assert_eq!(error.kind, Kind::XksProxyVpcEndpointServiceInUse);
    assert!(check_unique_name(&place, "two", None).is_err());
    assert!(
        check_unique_name(
            &place,
            "two",
            place
                .stores
                .values()
                .find(|s| s.name == "two")
                .map(|s| s.id.as_str())
        )
        .is_ok()
    );
}

#[test]
fn there_is_room_for_ten() {
    let mut place = Place::default();
    for number in 0..MOST_STORES {
        assert!(check_room(&place).is_ok());
        let store = Store::new(&number.to_string(), &proxy(A, PATH, None)).unwrap();
        place.stores.insert(store.id.clone(), store);
    }
    assert_eq!(check_room(&place).unwrap_err().kind, Kind::LimitExceeded);
}
