//! Tests of failover and hedging with fake HSMs.

use super::*;
use crate::clock::Deadline;
use crate::ekm::fake::{FakeKeyManager, tenant};
use crate::ekm::{CallCount, DeviceReport, KeySelector, KeyUsageFlags, Uncounted};
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

fn job() -> EncryptJob {
    EncryptJob {
        tenant: tenant(),
        key: Arc::new(KeySelector::Label("k".into())),
        plaintext: Arc::new(SecretBytes::new(b"x".to_vec())),
        aad: vec![0, 0, 0].into(),
        must_decrypt: false,
        digest: None,
        deadline: Deadline::after(Duration::from_secs(1)),
        calls: CallCount::default(),
        encryptions: Arc::new(Uncounted),
    }
}

async fn served_by(fleet: &Fleet) -> Result<String, KeyManagerFault> {
    let outcome = fleet.encrypt(job()).await;
    outcome
        .map(|served| served.device.to_string())
        .map_err(|error| error.fault)
}

#[tokio::test]
async fn the_first_usable_hsm_serves() {
    let (a, b, fleet) = pair();
    assert_eq!(served_by(&fleet).await, Ok("a".into()));
    a.set_usable(false);
    assert_eq!(served_by(&fleet).await, Ok("b".into()));
    b.set_usable(false);
    a.fail_with(Some(KeyManagerFault::DeviceUnavailable));
    assert_eq!(
        served_by(&fleet).await,
        Err(KeyManagerFault::DeviceUnavailable),
        "the error has the reason"
    );
    assert!(
        fleet
            .reports()
            .iter()
            .all(|r: &DeviceReport| &*r.vendor == "fake")
    );
}

#[tokio::test]
async fn a_failure_of_an_hsm_causes_one_failover() {
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
async fn an_error_of_the_client_causes_no_failover() {
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
        "a failed hedged request has no effect"
    );
}

/// How an HSM of the table answers every job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behavior {
    Works,
    Slow,
    Absent,
    Ambiguous,
    Fails,
    FailsKey,
    Unavailable,
}

impl Behavior {
    const ALL: [Self; 7] = [
        Self::Works,
        Self::Slow,
        Self::Absent,
        Self::Ambiguous,
        Self::Fails,
        Self::FailsKey,
        Self::Unavailable,
    ];

    fn device(self, name: &str) -> Arc<FakeKeyManager> {
        let device = FakeKeyManager::named(name);
        device.add_key("k", 256, USAGE);
        // The order of HSMs must not depend on known key states.
        device.believe(None);
        match self {
            Self::Works => {}
            Self::Slow => device.set_delay(500),
            Self::Absent => device.fail_with(Some(KeyManagerFault::KeyAbsent)),
            Self::Ambiguous => device.fail_with(Some(KeyManagerFault::KeyAmbiguous)),
            Self::Fails => device.fail_with(Some(KeyManagerFault::DeviceFailed)),
            Self::FailsKey => device.fail_with(Some(KeyManagerFault::KeyFailed)),
            Self::Unavailable => device.set_usable(false),
        }
        device
    }

    /// Returns whether the HSM reports that it does not have exactly one such key.
    fn lacks_key(self) -> bool {
        matches!(self, Self::Absent | Self::Ambiguous)
    }
}

/// Returns the expected error of the fleet; none if the job succeeds.
fn expected(fleet: &[Behavior]) -> Option<KeyManagerFault> {
    let mut failures = Vec::new();
    for behavior in fleet {
        match behavior {
            Behavior::Works | Behavior::Slow => return None,
            Behavior::Fails => failures.push(KeyManagerFault::DeviceFailed),
            Behavior::FailsKey => failures.push(KeyManagerFault::KeyFailed),
            Behavior::Absent | Behavior::Ambiguous | Behavior::Unavailable => {}
        }
        if let [_, second] = *failures {
            return Some(second);
        }
    }
    Some(match failures.last() {
        Some(failure) => *failure,
        None if fleet.iter().all(|b| *b == Behavior::Absent) => KeyManagerFault::KeyAbsent,
        None if fleet.iter().all(|b| b.lacks_key()) => KeyManagerFault::KeyAmbiguous,
        None => KeyManagerFault::DeviceUnavailable,
    })
}

/// Returns all fleets of two and of three HSMs.
fn every_fleet() -> Vec<Vec<Behavior>> {
    let extended = |fleets: &[Vec<Behavior>]| {
        let longer = |fleet: &Vec<Behavior>| {
            let fleet = fleet.clone();
            Behavior::ALL.map(|behavior| [&fleet[..], &[behavior]].concat())
        };
        fleets.iter().flat_map(longer).collect::<Vec<_>>()
    };
    let one = Behavior::ALL.map(|behavior| vec![behavior]);
    let two = extended(&one);
    let three = extended(&two);
    [two, three].concat()
}

#[tokio::test(start_paused = true)]
async fn every_combination_of_answers_has_the_expected_outcome() {
    let fleets = every_fleet();
    assert_eq!(fleets.len(), 49 + 343);
    for behaviors in fleets {
        let devices: Vec<_> = behaviors
            .iter()
            .zip(["a", "b", "c"])
            .map(|(behavior, name)| behavior.device(name))
            .collect();
        let outcome = served_by(&fleet_of(&devices)).await;
        println!("{behaviors:?}: {outcome:?}");
        assert_eq!(outcome.clone().err(), expected(&behaviors), "{behaviors:?}");
        let asked: u32 = behaviors
            .iter()
            .zip(&devices)
            .filter(|(behavior, _)| !behavior.lacks_key())
            .map(|(_, device)| device.asked())
            .sum();
        assert!(asked <= 2, "{behaviors:?}: {asked} attempts");
        if outcome == Err(KeyManagerFault::KeyAbsent) {
            let has_answered = |device: &Arc<FakeKeyManager>| device.asked() == 1;
            assert!(devices.iter().all(has_answered), "{behaviors:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_hsm_that_is_known_to_lack_the_key_comes_last() {
    let (a, b, fleet) = pair();
    a.believe(Some(false));
    assert_eq!(served_by(&fleet).await, Ok("b".into()));
    b.set_delay(500);
    assert_eq!(served_by(&fleet).await, Ok("b".into()));
    assert_eq!(a.asked(), 0, "it gets no hedged requests either");
    b.fail_with(Some(KeyManagerFault::KeyAbsent));
    assert_eq!(
        served_by(&fleet).await,
        Ok("a".into()),
        "the key may have been created since"
    );
}

#[tokio::test]
async fn an_error_names_the_hsm_that_lacks_the_key() {
    let (a, b, fleet) = pair();
    a.fail_with(Some(KeyManagerFault::KeyAbsent));
    b.set_usable(false);
    let error = fleet.encrypt(job()).await.unwrap_err();
    assert_eq!(error.fault, KeyManagerFault::DeviceUnavailable);
    assert_eq!(
        error.to_string(),
        "b: the device is not usable: fake; a: fake"
    );
}

#[tokio::test]
async fn an_empty_fleet_returns_an_error() {
    assert_eq!(
        served_by(&fleet_of(&[])).await,
        Err(KeyManagerFault::DeviceUnavailable)
    );
}
