//! Rejected keys: what is stored, and for how long.

use cryptoki::context::Function;
use cryptoki::error::RvError;

use super::*;
use crate::pkcs11::error_attribution::failure::Operation::{Decrypt, Encrypt};

const MS: Duration = Duration::from_millis(1);

fn key(name: &str) -> KeySelector {
    KeySelector::Label(name.to_owned())
}

fn rejection(code: RvError, is_proven: bool) -> Rejection {
    Rejection {
        fault: KeyManagerFault::KeyFailed,
        detail: "rejected".into(),
        error: CallError::Returned(code, Function::Encrypt),
        is_proven,
    }
}

/// Rejects the key at `at`.
fn add(failures: &KeyFailures, name: &str, is_proven: bool, at: Instant) {
    let rejection = rejection(RvError::DeviceError, is_proven);
    failures.add(Encrypt, &key(name), None, rejection, at);
}

fn is_rejected(failures: &KeyFailures, name: &str, at: Instant) -> bool {
    failures.reject(Encrypt, &key(name), at).is_some()
}

fn indicates_device_failure(
    failures: &KeyFailures,
    name: &str,
    code: RvError,
    at: Instant,
) -> bool {
    failures.indicates_device_failure(
        Encrypt,
        &key(name),
        None,
        CallError::Returned(code, Function::Encrypt),
        at,
    )
}

#[test]
fn one_job_per_second_is_tried_until_the_key_works_again() {
    let (failures, start) = (KeyFailures::default(), Instant::now());
    assert!(!is_rejected(&failures, "a", start));
    add(&failures, "a", true, start);
    assert!(is_rejected(&failures, "a", start + 999 * MS));
    assert!(!is_rejected(&failures, "b", start), "another key");
    let decrypt = failures.reject(Decrypt, &key("a"), start);
    assert_eq!(decrypt, None, "another operation");
    assert!(!is_rejected(&failures, "a", start + 1_000 * MS), "one job");
    assert!(is_rejected(&failures, "a", start + 1_000 * MS), "not two");
    assert!(failures.remove(Encrypt, &key("a"), start + 1_001 * MS));
    assert!(!is_rejected(&failures, "a", start + 1_002 * MS));
    assert!(!failures.remove(Encrypt, &key("a"), start + 1_003 * MS));
}

#[test]
fn a_failure_that_the_request_may_have_caused_rejects_no_other_request() {
    let (failures, start) = (KeyFailures::default(), Instant::now());
    add(&failures, "a", false, start);
    assert!(!is_rejected(&failures, "a", start));
    assert_eq!(failures.count(), 0);
    add(&failures, "a", true, start);
    assert_eq!(failures.count(), 1);
}

#[test]
fn the_cause_of_the_same_error_is_tested_again_after_ten_seconds() {
    let (failures, start) = (KeyFailures::default(), Instant::now());
    let is_rejected = |code, at| {
        let error = CallError::Returned(code, Function::Encrypt);
        let rejected = failures.repeated_rejection(Encrypt, &key("a"), error, at);
        rejected.is_some()
    };
    assert!(!is_rejected(RvError::DeviceError, start));
    add(&failures, "a", false, start);
    assert!(!is_rejected(RvError::DeviceError, start), "not proven");
    add(&failures, "a", true, start);
    assert!(!is_rejected(RvError::HostMemory, start), "another error");
    let later = start + ATTRIBUTION_VALID_FOR - MS;
    assert!(is_rejected(RvError::DeviceError, later));
    assert!(self::is_rejected(&failures, "a", later + 999 * MS));
    assert!(!is_rejected(RvError::DeviceError, later + MS));
}

#[test]
fn only_a_proven_failure_of_the_same_operation_rejects_a_key() {
    let (failures, start) = (KeyFailures::default(), Instant::now());
    add(&failures, "a", false, start);
    assert!(!failures.rejects(Encrypt, &key("a")));
    add(&failures, "a", true, start);
    assert!(failures.rejects(Encrypt, &key("a")));
    assert!(!failures.rejects(Operation::Decrypt, &key("a")));
    assert!(!failures.rejects(Encrypt, &key("b")));
}

#[test]
fn errors_of_two_keys_are_attributed_to_the_device_unless_another_key_works() {
    let (failures, start) = (KeyFailures::default(), Instant::now());
    assert!(!indicates_device_failure(
        &failures,
        "a",
        RvError::DeviceError,
        start
    ));
    add(&failures, "a", true, start);
    let later = start + 900 * MS;
    assert!(
        !indicates_device_failure(&failures, "a", RvError::DeviceError, later),
        "the same key"
    );
    assert!(
        !indicates_device_failure(&failures, "b", RvError::HostMemory, later),
        "another code"
    );
    assert!(indicates_device_failure(
        &failures,
        "b",
        RvError::DeviceError,
        later
    ));
    let too_late = start + 1_001 * MS;
    assert!(!indicates_device_failure(
        &failures,
        "b",
        RvError::DeviceError,
        too_late
    ));
    failures.remove(Encrypt, &key("c"), start + MS);
    assert!(!indicates_device_failure(
        &failures,
        "b",
        RvError::DeviceError,
        later
    ));
    failures.clear();
    assert!(!is_rejected(&failures, "a", start));
}

#[test]
fn each_key_has_one_log_line_per_minute() {
    let (failures, start) = (KeyFailures::default(), Instant::now());
    let rejection = || rejection(RvError::DeviceError, true);
    let add = |name, at| failures.add(Encrypt, &key(name), None, rejection(), at);
    assert_eq!(add("a", start), Some(0));
    assert_eq!(add("b", start), Some(0));
    assert_eq!(add("a", start + MS), None);
    let rejected = failures.reject(Encrypt, &key("a"), start + 2 * MS);
    assert_eq!(rejected, Some((rejection(), None)));
    assert_eq!(add("a", start + KEPT_FOR), Some(2));
    failures.forget_old(start + KEPT_FOR);
    assert_eq!(failures.count(), 1, "b was forgotten");
}

#[test]
fn the_number_of_keys_is_bounded() {
    let (failures, start) = (KeyFailures::default(), Instant::now());
    let names: Vec<String> = (0..MAX_KEYS + 5).map(|n| n.to_string()).collect();
    for (name, at) in names.iter().zip(0..) {
        add(&failures, name, true, start + at * MS / 1_000);
    }
    assert_eq!(failures.count(), MAX_KEYS);
    let now = start + 10 * MS;
    assert!(
        !is_rejected(&failures, "0", now),
        "the oldest are forgotten"
    );
    assert!(is_rejected(&failures, names.last().unwrap(), now));
}
