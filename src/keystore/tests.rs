//! Tests of key stores: versions, quotas and reloads.

use super::*;
use crate::fleet::FleetMetrics;
use std::time::Duration;

fn settings(prefix: &str, quota: Option<QuotaSettings>) -> KeyStoreSettings {
    KeyStoreSettings {
        name: prefix.into(),
        prefix: PathPrefix::parse(prefix).unwrap(),
        region: "eu-west-1".into(),
        state: State::Enabled,
        credentials: Credentials::default(),
        keys: vec![],
        hsms: vec![],
        quota,
        share: 1,
        decrypts_aws_samples: false,
        vpc_endpoints: Default::default(),
    }
}

/// Creates a store without HSMs and keys.
pub(crate) fn any_store() -> KeyStore {
    store(settings("/a", None), None)
}

fn store(settings: KeyStoreSettings, former: Option<&KeyStore>) -> KeyStore {
    let metrics = Metrics::default();
    let fleet = Fleet::new(
        vec![],
        Duration::ZERO,
        FleetMetrics::declare(&metrics).unwrap(),
    );
    let metrics = StoreMetrics::declare(&metrics).unwrap();
    settings.into_store(fleet, &metrics, former)
}

#[test]
fn stores_are_found_by_their_whole_prefix() {
    let made = ["", "/a", "/a/b"].map(|prefix| store(settings(prefix, None), None));
    let stores = KeyStores::new(made.into());
    for prefix in ["", "/a", "/a/b"] {
        assert_eq!(&*stores.at(prefix).unwrap().name, prefix);
    }
    assert!(stores.at("/a/").is_none() && stores.at("/b").is_none());
    assert_eq!(stores.iter().count(), 3);
}

#[test]
fn versions_are_found_by_number() {
    let id = ExternalKeyId::parse("k").unwrap();
    let version = |number: u32| VersionSettings {
        number: KeyVersion(number),
        selector: Arc::new(KeySelector::Label(number.to_string())),
    };
    let versions = vec![version(1), version(3), version(7)];
    let settings = KeySettings::versioned(id, State::Enabled, KeyVersion(3), versions).unwrap();
    let key = Key::new(&settings, |_| Arc::default());
    assert_eq!(key.primary.number, KeyVersion(3));
    for number in [1, 3, 7] {
        let found = key.version(KeyVersion(number)).unwrap();
        assert_eq!(*found.selector, KeySelector::Label(number.to_string()));
    }
    assert!(key.version(KeyVersion(2)).is_none());
}

#[test]
fn the_used_quota_survives_a_change_of_other_settings() {
    let small = QuotaSettings { rate: 1, burst: 1 };
    let first = store(settings("/a", Some(small)), None);
    assert!(first.quota.as_ref().unwrap().take());
    let second = store(settings("/a", Some(small)), Some(&first));
    assert!(!second.quota.as_ref().unwrap().take());
    let third = store(
        settings("/a", Some(QuotaSettings { burst: 2, ..small })),
        Some(&second),
    );
    assert!(third.quota.as_ref().unwrap().take(), "a changed quota");
    assert!(store(settings("/a", None), Some(&third)).quota.is_none());
}
