//! The KMS simulator with a proxy that misbehaves: the exceptions, the number of requests, and the recovery.

mod answers;
mod cloud;
mod fake_proxy;
mod honest;
mod load;
mod scene;
mod stores;
mod table;
mod wire;

use std::thread;

use serde_json::{Value, json};

use crate::harness::metrics::eventually;
use crate::harness::pki::Authority;
use crate::harness::served::tls_server;
use fake_proxy::{Act, Seen};
use scene::{NAMES, Scene};
use table::{ABSENT, BAD_TLS, ERRORS, MALFORMED, Row, SILENT};

/// Collects differences from the expected behaviour, so that a test shows all of them.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, fine: bool, what: impl FnOnce() -> String) {
        if !fine {
            self.0.push(what());
        }
    }

    #[track_caller]
    fn none(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

/// Checks all columns of a row. `tries` is the number of requests that one call must make; none if it is not checked.
fn check_row(scene: &Scene, blob: &Value, row: &Row, tries: Option<usize>, faults: &mut Faults) {
    management(scene, row, tries, faults);
    for (operation, xks, body) in [
        (
            "Encrypt",
            "encrypt",
            json!({"KeyId": scene.key, "Plaintext": "YQ=="}),
        ),
        ("Decrypt", "decrypt", json!({"CiphertextBlob": blob})),
    ] {
        act(scene, row);
        let came = scene.kms.call(operation, &body);
        let right = matches!(&came, Err((name, message)) if name == "KMSInvalidStateException"
            && (message.contains(row.message) || operation == "Encrypt"));
        faults.unless(right, || {
            format!("{}, {operation}: {came:?}", row.behaviour)
        });
        count(scene, row, xks, tries, faults);
    }
    connecting(scene, row, tries, faults);
    scene.fake.be_honest();
}

fn act(scene: &Scene, row: &Row) {
    let act = row.act;
    scene.fake.act(move |_| act());
}

fn count(scene: &Scene, row: &Row, xks: &str, tries: Option<usize>, faults: &mut Faults) {
    let seen = scene.fake.seen(xks).len();
    let right = tries.is_none_or(|tries| seen == tries);
    faults.unless(right, || {
        format!("{}: {seen} requests for {xks}", row.behaviour)
    });
}

fn management(scene: &Scene, row: &Row, tries: Option<usize>, faults: &mut Faults) {
    let path = format!("/elsewhere-{}/kms/xks/v1", scene.number());
    let update = json!({"CustomKeyStoreId": scene.store, "XksProxyUriPath": path});
    for (operation, xks, body, wanted) in [
        (
            "CreateCustomKeyStore",
            "health",
            scene.store_body("second.test"),
            row.store,
        ),
        ("UpdateCustomKeyStore", "health", update, row.store),
        (
            "CreateKey",
            "metadata",
            scene.key_body(&scene.store),
            row.key,
        ),
    ] {
        let Some(wanted) = wanted else { continue };
        act(scene, row);
        let came = scene.kms.call(operation, &body);
        let right = matches!(&came, Err((name, message)) if name == wanted && !message.is_empty());
        faults.unless(right, || {
            format!("{}, {operation}: {came:?}", row.behaviour)
        });
        count(scene, row, xks, tries, faults);
    }
}

fn connecting(scene: &Scene, row: &Row, tries: Option<usize>, faults: &mut Faults) {
    if row.codes.is_empty() {
        return;
    }
    scene.kms.disconnect(&scene.store);
    act(scene, row);
    let code = scene.kms.connect(&scene.store);
    faults.unless(row.codes.contains(&code.as_str()), || {
        format!("{}, connecting: {code}", row.behaviour)
    });
    count(scene, row, "health", tries, faults);
    scene.fake.be_honest();
    let again = json!({"CustomKeyStoreId": scene.store});
    let rejected = scene.kms.call("ConnectCustomKeyStore", &again);
    let right =
        matches!(&rejected, Err((name, _)) if name == "CustomKeyStoreInvalidStateException");
    faults.unless(right, || {
        format!("{}: reconnected when FAILED: {rejected:?}", row.behaviour)
    });
    scene.kms.disconnect(&scene.store);
    let recovered = scene.kms.connect(&scene.store);
    faults.unless(recovered == "CONNECTED", || {
        format!("{}: then {recovered}", row.behaviour)
    });
}

#[test]
fn each_error_of_a_proxy_has_its_exception_and_is_not_retried() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    for row in &ERRORS {
        check_row(&scene, &blob, row, Some(1), &mut faults);
    }
    faults.none();
    assert!(scene.decrypt(&blob).is_ok());
}

#[test]
fn responses_that_violate_the_specification_are_invalid() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    for row in &MALFORMED {
        check_row(&scene, &blob, row, Some(1), &mut faults);
    }
    faults.none();
    assert!(scene.decrypt(&blob).is_ok());
}

#[test]
fn a_proxy_that_is_down_or_closes_the_connection_is_unreachable() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    check_row(&scene, &blob, &ABSENT, None, &mut faults);
    let created = scene.store_body("second.test");
    scene.fake.go_down();
    for (operation, body, wanted) in [
        ("CreateCustomKeyStore", created, ABSENT.store),
        ("CreateKey", scene.key_body(&scene.store), ABSENT.key),
        (
            "Decrypt",
            json!({"CiphertextBlob": blob}),
            Some("KMSInvalidStateException"),
        ),
    ] {
        let came = scene.kms.call(operation, &body);
        let right = matches!(&came, Err((name, _)) if Some(name.as_str()) == wanted);
        faults.unless(right, || {
            format!("{operation} of a proxy that is down: {came:?}")
        });
    }
    scene.kms.disconnect(&scene.store);
    let code = scene.kms.connect(&scene.store);
    faults.unless(code == "XKS_PROXY_NOT_REACHABLE", || {
        format!("down: {code}")
    });
    scene.fake.come_back();
    scene.kms.disconnect(&scene.store);
    assert_eq!(scene.kms.connect(&scene.store), "CONNECTED");
    faults.none();
    assert!(scene.decrypt(&blob).is_ok());
}

#[test]
fn a_call_without_response_is_retried_once() {
    let scene = Scene::start_with(|options, _| {
        options
            .with("--timeout", "1s")
            .with("--health-interval", "1h")
    });
    let (blob, mut faults) = (scene.blob(), Faults::default());
    check_row(&scene, &blob, &SILENT, Some(2), &mut faults);
    faults.none();
    assert!(scene.decrypt(&blob).is_ok());
    let timeouts = scene
        .simulator
        .calls(12, |call| call["outcome"] == "timeout");
    let attempt = |number: u64| {
        let same = timeouts.iter().filter(|call| call["attempt"] == number);
        same.count()
    };
    assert_eq!((attempt(1), attempt(2)), (6, 6));
}

#[test]
fn a_call_with_a_late_response_is_retried() {
    let scene = Scene::start_with(|options, _| {
        options
            .with("--timeout", "2s")
            .with("--health-interval", "1h")
    });
    let late = |seen: &Seen| match seen.before {
        0 => Act::Hang,
        _ => Act::Answer,
    };
    scene.fake.act(late);
    let encrypted = scene.kms.encrypt(&scene.key).unwrap();
    scene.fake.be_honest();
    assert!(scene.decrypt(&encrypted["CiphertextBlob"]).is_ok());
    let calls = scene
        .simulator
        .calls(2, |call| call["kms_operation"] == "Encrypt");
    let (first, second) = (&calls[0], &calls[1]);
    assert_eq!(first["outcome"], "timeout");
    assert_eq!(
        (&first["kms_operation"], &first["attempt"]),
        (&json!("Encrypt"), &json!(1))
    );
    // The simulator must not have a shorter time limit than KMS.
    let took = first["took_ms"].as_f64().unwrap();
    assert!(took >= 1_999.0, "gave up after {took} ms");
    assert_eq!(second["attempt"], 2);
    assert_eq!(second["outcome"], "ok");
}

#[test]
fn a_slow_response_within_the_time_limit_is_accepted() {
    let scene = Scene::start();
    scene.fake.act(|_| Act::Hang);
    thread::scope(|scope| {
        let encrypted = scope.spawn(|| scene.kms.encrypt(&scene.key));
        eventually("a request that waits", || {
            (scene.fake.seen("encrypt").len() == 1).then_some(())
        });
        scene.fake.be_honest();
        assert!(encrypted.join().unwrap().is_ok());
    });
    assert_eq!(scene.fake.seen("encrypt").len(), 0, "nobody asked again");
}

#[test]
fn a_proxy_with_a_wrong_certificate_gets_no_request() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    for (behaviour, identity) in [
        ("expired", scene.authority.expired_server_for(&NAMES)),
        (
            "of another name",
            scene.authority.server_for(&["stranger.test"]),
        ),
        (
            "of another authority",
            Authority::new("Another CA").server_for(&NAMES),
        ),
    ] {
        let row = Row {
            behaviour,
            ..BAD_TLS
        };
        scene.fake.show(tls_server(&identity, None));
        management(&scene, &row, Some(0), &mut faults);
        let came = scene.decrypt(&blob);
        let right = matches!(&came, Err((name, _)) if name == "KMSInvalidStateException");
        faults.unless(right, || {
            format!("a certificate {behaviour}, Decrypt: {came:?}")
        });
        scene.kms.disconnect(&scene.store);
        let code = scene.kms.connect(&scene.store);
        faults.unless(BAD_TLS.codes.contains(&code.as_str()), || {
            format!("{behaviour}: {code}")
        });
        scene.fake.show(scene.good_tls());
        scene.kms.disconnect(&scene.store);
        assert_eq!(scene.kms.connect(&scene.store), "CONNECTED");
        assert!(scene.decrypt(&blob).is_ok());
    }
    faults.none();
    scene.simulator.calls(12, |call| call["outcome"] == "tls");
}
