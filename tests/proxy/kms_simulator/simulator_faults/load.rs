//! Many concurrent callers: the quota, stores whose proxy hangs, and stores that are disconnected during calls.

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

/// Encrypts `count` times concurrently, and counts the outcomes.
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
fn requests_beyond_the_quota_do_not_reach_the_proxy() {
    let scene =
        Scene::start_with(|options, _| options.with("--timeout", "10s").with("--quota", "10"));
    scene.fake.be_honest();
    let counts = outcomes(&scene.kms, &scene.key, 60);
    let count = |name: &str| counts.get(name).copied().unwrap_or_default();
    assert!(count("ok") >= 10, "{counts:?}");
    assert!(count("ThrottlingException") > 0, "{counts:?}");
    assert_eq!(count("ok") + count("ThrottlingException"), 60, "{counts:?}");
    assert_eq!(scene.fake.seen("encrypt").len(), count("ok"));
    let throttled = scene
        .simulator
        .metric("external_key_store_throttle_total", &[]);
    assert_eq!(throttled, count("ThrottlingException") as f64);
    // The quota limits cryptographic requests only, and it is a rate.
    scene.kms.ok("DescribeKey", &json!({"KeyId": scene.key}));
    eventually("a quota that grows again", || {
        scene.kms.encrypt(&scene.key).ok()
    });
}

#[test]
fn each_store_has_its_own_quota() {
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
fn a_hanging_store_does_not_delay_other_stores() {
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
fn a_store_disconnected_under_load_stops_at_once() {
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
fn a_call_interrupted_by_a_disconnect_reports_it() {
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
fn running_calls_are_answered_before_the_simulator_stops() {
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
fn a_connection_closed_by_the_proxy_does_not_fail_a_call() {
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
    // Closes idle connections. The next call must not fail because of that.
    scene.fake.show(scene.good_tls());
    scene.fake.act(|_| Act::Answer);
    assert!(scene.kms.encrypt(&scene.key).is_ok());
    let calls = scene
        .simulator
        .calls(4, |call| call["kms_operation"] == "Encrypt");
    assert!(calls.iter().all(|call| call["attempt"] == 1), "{calls:?}");
}

#[test]
fn health_is_checked_periodically_and_an_unhealthy_store_stays_connected() {
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
        "health" => super::fake_proxy::json_response(200, &super::honest::health("UNAVAILABLE")),
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
