//! Fail-over between fakes.

use super::super::fake::{FakeKeyManager, tenant};
use super::super::{CallCount, DeviceReport, KeySelector, KeyUsageFlags, Uncounted};
use super::*;
use crate::clock::Deadline;
use crate::secret::SecretBytes;

const USAGE: KeyUsageFlags = KeyUsageFlags {
    encrypt: true,
    decrypt: true,
    sign: false,
    verify: false,
    wrap: false,
    unwrap: false,
    derive: false,
};

fn fleet_of(devices: &[Arc<FakeKeyManager>]) -> Fleet {
    let devices = devices
        .iter()
        .map(|d| Arc::clone(d) as Arc<dyn KeyManager>)
        .collect();
    let metrics = FleetMetrics::declare(&Metrics::default()).unwrap();
    Fleet::new(devices, Duration::from_millis(80), metrics)
}

fn pair() -> (Arc<FakeKeyManager>, Arc<FakeKeyManager>, Fleet) {
    let (a, b) = (FakeKeyManager::named("a"), FakeKeyManager::named("b"));
    for device in [&a, &b] {
        device.add_key("k", 256, USAGE);
    }
    let fleet = fleet_of(&[Arc::clone(&a), Arc::clone(&b)]);
    (a, b, fleet)
}

async fn served_by(fleet: &Fleet) -> Result<String, KeyManagerFault> {
    let job = EncryptJob {
        tenant: tenant(),
        key: Arc::new(KeySelector::Label("k".into())),
        plaintext: Arc::new(SecretBytes::new(b"x".to_vec())),
        aad: Arc::new([0, 0, 0]),
        must_decrypt: false,
        deadline: Deadline::after(Duration::from_secs(1)),
        calls: CallCount::default(),
        encryptions: Arc::new(Uncounted),
    };
    let outcome = fleet.encrypt(job).await;
    outcome
        .map(|served| served.device.to_string())
        .map_err(|error| error.fault)
}

#[tokio::test]
async fn the_first_of_equals_serves_and_an_unusable_one_does_not() {
    let (a, b, fleet) = pair();
    assert_eq!(served_by(&fleet).await, Ok("a".into()));
    a.set_usable(false);
    assert_eq!(served_by(&fleet).await, Ok("b".into()));
    b.set_usable(false);
    a.fail_with(Some(KeyManagerFault::DeviceUnavailable));
    assert_eq!(
        served_by(&fleet).await,
        Err(KeyManagerFault::DeviceUnavailable),
        "it says why"
    );
    assert!(
        fleet
            .reports()
            .iter()
            .all(|r: &DeviceReport| &*r.vendor == "fake")
    );
}

#[tokio::test]
async fn a_device_s_fault_is_tried_elsewhere_once() {
    let (a, b, fleet) = pair();
    for fault in [
        KeyManagerFault::DeviceFailed,
        KeyManagerFault::QueueFull,
        KeyManagerFault::KeyAbsent,
    ] {
        a.fail_with(Some(fault));
        assert_eq!(served_by(&fleet).await, Ok("b".into()), "{fault:?}");
    }
    b.fail_with(Some(KeyManagerFault::DeviceFailed));
    assert_eq!(served_by(&fleet).await, Err(KeyManagerFault::DeviceFailed));
}

#[tokio::test]
async fn a_callers_fault_is_not() {
    let (a, b, fleet) = pair();
    for fault in [
        KeyManagerFault::CiphertextInvalid,
        KeyManagerFault::UsageNotPermitted,
        KeyManagerFault::KeyUnsuitable,
    ] {
        a.fail_with(Some(fault));
        assert_eq!(served_by(&fleet).await, Err(fault));
    }
    assert_eq!(b.encryptions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_is_hedged() {
    let (a, b, fleet) = pair();
    a.set_delay(500);
    assert_eq!(served_by(&fleet).await, Ok("b".into()));
    b.set_delay(700);
    a.set_delay(100);
    assert_eq!(
        served_by(&fleet).await,
        Ok("a".into()),
        "the first good answer counts"
    );
    b.fail_with(Some(KeyManagerFault::DeviceFailed));
    b.set_delay(0);
    assert_eq!(
        served_by(&fleet).await,
        Ok("a".into()),
        "a failed hedge harms nobody"
    );
}

#[tokio::test]
async fn absence_is_said_only_when_every_device_was_asked() {
    let (a, b, fleet) = pair();
    a.fail_with(Some(KeyManagerFault::KeyAbsent));
    b.set_usable(false);
    assert_eq!(
        served_by(&fleet).await,
        Err(KeyManagerFault::DeviceUnavailable)
    );
    b.set_usable(true);
    b.fail_with(Some(KeyManagerFault::KeyAbsent));
    assert_eq!(served_by(&fleet).await, Err(KeyManagerFault::KeyAbsent));
}

#[tokio::test]
async fn a_fleet_of_none_says_so() {
    assert_eq!(
        served_by(&fleet_of(&[])).await,
        Err(KeyManagerFault::DeviceUnavailable)
    );
}
