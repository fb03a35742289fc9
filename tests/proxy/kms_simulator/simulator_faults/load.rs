//! Many callers at once: the quota, stores that hang, and stores that are disconnected meanwhile.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::json;

use super::fake_proxy::Act;
use super::scene::Scene;
use crate::harness::load::Stop;
use crate::harness::metrics::eventually;
use crate::harness::simulator::{Kms, at_once};

/// How often each outcome came.
fn outcomes(kms: &Kms, key: &str, count: usize) -> BTreeMap<String, usize> {
    let (kms, key) = (kms.clone(), key.to_owned());
    let came = at_once(count, move |_| kms.encrypt(&key));
    let mut counts = BTreeMap::new();
    for one in came {
        let name = one.map_or_else(|(name, _)| name, |_| "ok".to_owned());
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[test]
fn more_than_the_quota_is_throttled_and_never_reaches_the_proxy() {
    let scene =
        Scene::start_with(|options, _| options.with("--timeout", "10s").with("--quota", "10"));
    scene.fake.be_honest();
    let counts = outcomes(&scene.kms, &scene.key, 60);
    let of = |name: &str| counts.get(name).copied().unwrap_or_default();
    assert!(of("ok") >= 10, "{counts:?}");
    assert!(of("ThrottlingException") > 0, "{counts:?}");
    assert_eq!(of("ok") + of("ThrottlingException"), 60, "{counts:?}");
    assert_eq!(scene.fake.seen("encrypt").len(), of("ok"));
    let throttled = scene
        .simulator
        .metric("external_key_store_throttle_total", &[]);
    assert_eq!(throttled, of("ThrottlingException") as f64);
    // The quota is of cryptographic requests, and it is a rate.
    scene.kms.ok("DescribeKey", &json!({"KeyId": scene.key}));
    eventually("a quota that grows again", || {
        scene.kms.encrypt(&scene.key).ok()
    });
}

#[test]
fn the_quota_of_a_store_is_its_own() {
    let scene =
        Scene::start_with(|options, _| options.with("--timeout", "10s").with("--quota", "1"));
    let other = scene.new_store("second.test");
    assert_eq!(scene.kms.connect(&other), "CONNECTED");
    let key = scene.new_key(&other);
    let counts = outcomes(&scene.kms, &scene.key, 30);
    assert!(counts.contains_key("ThrottlingException"), "{counts:?}");
    assert!(scene.kms.encrypt(&key).is_ok());
}

#[test]
fn a_store_that_hangs_does_not_slow_another() {
    let scene = Scene::start_with(|options, _| options.with("--timeout", "30s"));
    let other = scene.new_store("second.test");
    assert_eq!(scene.kms.connect(&other), "CONNECTED");
    let quick = scene.new_key(&other);
    let path = scene.kms.store(&scene.store)["XksProxyConfiguration"]["UriPath"]
        .as_str()
        .unwrap()
        .to_owned();
    scene
        .fake
        .act(move |seen| match seen.request.target.starts_with(&path) {
            true => Act::Hang,
            false => Act::Answer,
        });
    let answered = Arc::new(AtomicUsize::new(0));
    let waiting: Vec<_> = (0..40)
        .map(|_| {
            let (kms, key) = (scene.kms.clone(), scene.key.clone());
            let answered = Arc::clone(&answered);
            thread::spawn(move || {
                let came = kms.encrypt(&key);
                answered.fetch_add(1, Ordering::SeqCst);
                came
            })
        })
        .collect();
    eventually("40 calls that hang", || {
        (scene.fake.seen("encrypt").len() >= 40).then_some(())
    });
    for _ in 0..50 {
        scene.kms.encrypt(&quick).unwrap();
    }
    assert_eq!(
        answered.load(Ordering::SeqCst),
        0,
        "nobody had to wait for those that hang"
    );
    scene.fake.be_honest();
    for thread in waiting {
        assert!(thread.join().unwrap().is_ok());
    }
}

#[test]
fn a_store_that_is_disconnected_under_load_stops_at_once() {
    let scene = Scene::start();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stopping = Stop(&stop);
        let load = |_| {
            let (kms, key, stop) = (&scene.kms, &scene.key, &stop);
            scope.spawn(move || {
                let mut wrong = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    match kms.encrypt(key) {
                        Ok(_) => {}
                        Err((name, message))
                            if name == "KMSInvalidStateException"
                                && message.contains("not connected") => {}
                        Err(other) => wrong.push(other),
                    }
                }
                wrong
            })
        };
        let callers: Vec<_> = (0..4).map(load).collect();
        eventually("load", || {
            (scene.fake.seen("encrypt").len() > 20).then_some(())
        });
        for _ in 0..3 {
            scene.kms.disconnect(&scene.store);
            for _ in 0..5 {
                let (name, message) = scene.kms.encrypt(&scene.key).unwrap_err();
                assert_eq!(name, "KMSInvalidStateException");
                assert!(message.contains("not connected"), "{message}");
            }
            let key = scene.kms.ok("DescribeKey", &json!({"KeyId": scene.key}));
            assert_eq!(key["KeyMetadata"]["KeyState"], "Unavailable");
            assert_eq!(scene.kms.connect(&scene.store), "CONNECTED");
            scene.kms.encrypt(&scene.key).unwrap();
        }
        drop(stopping);
        for caller in callers {
            assert_eq!(caller.join().unwrap(), []);
        }
    });
}

#[test]
fn a_call_that_ends_because_its_store_was_disconnected_says_so() {
    let scene = Scene::start_with(|options, _| {
        options
            .with("--timeout", "30s")
            .with("--health-interval", "1h")
    });
    scene.fake.act(|_| Act::Hang);
    let (kms, key) = (scene.kms.clone(), scene.key.clone());
    let running = thread::spawn(move || kms.encrypt(&key));
    eventually("a call that runs", || {
        (scene.fake.seen("encrypt").len() == 1).then_some(())
    });
    scene.kms.disconnect(&scene.store);
    scene.fake.show(scene.good_tls());
    let (name, message) = running.join().unwrap().unwrap_err();
    assert_eq!(name, "KMSInvalidStateException");
    assert!(message.contains("not connected"), "{message}");
    assert_eq!(scene.fake.seen("encrypt").len(), 1, "and asks nobody again");
}

#[test]
fn calls_that_run_are_answered_before_the_end() {
    let mut scene = Scene::start_with(|options, _| options.with("--timeout", "30s"));
    scene.fake.act(|_| Act::Hang);
    let (kms, key) = (scene.kms.clone(), scene.key.clone());
    let running = thread::spawn(move || at_once(8, move |_| kms.encrypt(&key)));
    eventually("8 calls that run", || {
        (scene.fake.seen("encrypt").len() == 8).then_some(())
    });
    scene.simulator.daemon.signal(Signal::TERM);
    eventually("nobody who accepts", || {
        TcpStream::connect(scene.simulator.address).err()
    });
    scene.fake.be_honest();
    for answer in running.join().unwrap() {
        answer.unwrap();
    }
    assert_eq!(scene.simulator.daemon.wait().code(), Some(0));
}

#[test]
fn a_connection_that_the_proxy_gave_up_is_not_the_callers_problem() {
    let scene = Scene::start();
    scene.blob();
    scene.fake.act(|_| Act::Answer);
    scene.blob();
    scene.blob();
    let seen = scene.fake.seen("encrypt");
    assert_eq!(
        seen[0].connection, seen[1].connection,
        "connections are used again"
    );
    // Closes what is open; who asks next must not be told of it.
    scene.fake.show(scene.good_tls());
    scene.fake.act(|_| Act::Answer);
    assert!(scene.kms.encrypt(&scene.key).is_ok());
    let calls = scene
        .simulator
        .calls(4, |call| call["kms_operation"] == "Encrypt");
    assert!(calls.iter().all(|call| call["attempt"] == 1), "{calls:?}");
}

#[test]
fn health_is_asked_for_again_and_again_and_a_sick_proxy_stays_connected() {
    let scene = Scene::start_with(|options, _| {
        options
            .with("--timeout", "10s")
            .with("--health-interval", "200ms")
    });
    scene.fake.be_honest();
    let checks = eventually("health checks", || {
        Some(scene.fake.seen("health")).filter(|seen| seen.len() >= 2)
    });
    assert_eq!(
        checks[1].body["requestMetadata"]["kmsOperation"],
        "KmsHealthCheck"
    );
    scene.fake.act(|seen| match seen.operation.as_str() {
        "health" => super::fake_proxy::json_of(200, &super::honest::health("UNAVAILABLE")),
        _ => Act::Answer,
    });
    let gone = [("store", scene.store.as_str()), ("state", "UNAVAILABLE")];
    eventually("two that are unavailable", || {
        (scene
            .simulator
            .metric("xks_external_key_manager_states", &gone)
            == 2.0)
            .then_some(())
    });
    assert_eq!(
        scene.kms.store(&scene.store)["ConnectionState"],
        "CONNECTED"
    );
    assert!(scene.kms.encrypt(&scene.key).is_ok());
}
