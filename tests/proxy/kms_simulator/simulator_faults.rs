//! The KMS simulator before a proxy that misbehaves: what KMS would say of it, how often it asks, and that it heals.

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

/// Faults of the simulator, all of which are shown at once.
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

/// One row in all columns. `tries` is how many requests one call may make.
fn judge(scene: &Scene, blob: &Value, row: &Row, tries: Option<usize>, faults: &mut Faults) {
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
        faults.unless(right, || format!("{}, {operation}: {came:?}", row.what));
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
    faults.unless(right, || format!("{}: {seen} requests for {xks}", row.what));
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
        faults.unless(right, || format!("{}, {operation}: {came:?}", row.what));
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
        format!("{}, connecting: {code}", row.what)
    });
    count(scene, row, "health", tries, faults);
    scene.fake.be_honest();
    let again = json!({"CustomKeyStoreId": scene.store});
    let refused = scene.kms.call("ConnectCustomKeyStore", &again);
    let right = matches!(&refused, Err((name, _)) if name == "CustomKeyStoreInvalidStateException");
    faults.unless(right, || {
        format!("{}: reconnected when FAILED: {refused:?}", row.what)
    });
    scene.kms.disconnect(&scene.store);
    let healed = scene.kms.connect(&scene.store);
    faults.unless(healed == "CONNECTED", || {
        format!("{}: then {healed}", row.what)
    });
}

#[test]
fn each_error_of_a_proxy_has_its_exception_and_no_second_try() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    for row in &ERRORS {
        judge(&scene, &blob, row, Some(1), &mut faults);
    }
    faults.none();
    assert!(scene.decrypt(&blob).is_ok());
}

#[test]
fn what_is_no_answer_of_the_specification_is_an_invalid_response() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    for row in &MALFORMED {
        judge(&scene, &blob, row, Some(1), &mut faults);
    }
    faults.none();
    assert!(scene.decrypt(&blob).is_ok());
}

#[test]
fn a_proxy_that_goes_without_an_answer_or_is_down_is_unreachable() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    judge(&scene, &blob, &ABSENT, None, &mut faults);
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
fn a_proxy_that_never_answers_is_asked_twice() {
    let scene = Scene::start_with(|options, _| {
        options
            .with("--timeout", "1s")
            .with("--health-interval", "1h")
    });
    let (blob, mut faults) = (scene.blob(), Faults::default());
    judge(&scene, &blob, &SILENT, Some(2), &mut faults);
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
fn an_answer_that_is_late_once_is_asked_for_again() {
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
    // A simulator that gives up earlier than KMS judges proxies too harshly.
    let took = first["took_ms"].as_f64().unwrap();
    assert!(took >= 1_999.0, "gave up after {took} ms");
    assert_eq!(second["attempt"], 2);
    assert_eq!(second["outcome"], "ok");
}

#[test]
fn an_answer_that_is_slow_but_in_time_is_taken() {
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
fn a_proxy_whose_certificate_is_not_right_is_not_spoken_to() {
    let (scene, mut faults) = (Scene::start(), Faults::default());
    let blob = scene.blob();
    for (what, identity) in [
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
        let row = Row { what, ..BAD_TLS };
        scene.fake.show(tls_server(&identity, None));
        management(&scene, &row, Some(0), &mut faults);
        let came = scene.decrypt(&blob);
        let right = matches!(&came, Err((name, _)) if name == "KMSInvalidStateException");
        faults.unless(right, || format!("a certificate {what}, Decrypt: {came:?}"));
        scene.kms.disconnect(&scene.store);
        let code = scene.kms.connect(&scene.store);
        faults.unless(BAD_TLS.codes.contains(&code.as_str()), || {
            format!("{what}: {code}")
        });
        scene.fake.show(scene.good_tls());
        scene.kms.disconnect(&scene.store);
        assert_eq!(scene.kms.connect(&scene.store), "CONNECTED");
        assert!(scene.decrypt(&blob).is_ok());
    }
    faults.none();
    scene.simulator.calls(12, |call| call["outcome"] == "tls");
}
