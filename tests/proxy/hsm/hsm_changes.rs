//! HSMs are added, removed and get new settings while the proxy serves.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::harness::control::Function;
use crate::harness::load::Stop;
use crate::harness::metrics::eventually;
use crate::harness::outage::two_faulty;
use crate::harness::process::signal;
use crate::harness::token::{HEALTH_KEY, PIN};
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};
use crate::lifecycle::workers::{only_worker, successor};

/// Encrypts until `stop` is set. Every request must succeed.
fn load(proxy: &Proxy, stop: &AtomicBool) -> usize {
    let payments = proxy.caller(&PAYMENTS);
    let (mut connection, mut done) = (proxy.connect(), 0);
    while !stop.load(Ordering::Relaxed) {
        let body = encrypt_body(b"x").to_string();
        connection
            .exchange(&payments.request("encrypt", "orders", body))
            .ok();
        done += 1;
    }
    done
}

/// Applies the configurations one by one under load, and runs the check of each.
fn under_load(proxy: &Proxy, steps: &[(String, &dyn Fn())]) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| load(proxy, &stop))).collect();
        for (text, seen) in steps {
            proxy.reconfigure_by(text);
            seen();
        }
        stop.store(true, Ordering::Relaxed);
        let done: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert!(done > 20, "only {done}");
    });
}

fn ids(proxy: &Proxy) -> Vec<String> {
    let health = proxy.caller(&PAYMENTS).health();
    let details = health["ekmFleetDetails"].as_array().unwrap().clone();
    let id = |detail: &serde_json::Value| detail["id"].as_str().unwrap().to_owned();
    details.iter().map(id).collect()
}

#[test]
fn an_hsm_is_removed_and_added_under_load() {
    let (proxy, a, _b) = two_faulty(|_| {});
    let both = proxy.setup.toml();
    let at = both.find("[[hsm]]\nname = \"hsm-b\"").unwrap();
    let only_a = both[..at].to_owned();
    let sessions = || proxy.metric("xks_hsm_sessions", &[("hsm", "hsm-b")]);
    let gone = || {
        assert_eq!(ids(&proxy), ["hsm-a"]);
        eventually("the gauges of the HSM gone", || {
            sessions().is_none().then_some(())
        });
        proxy.daemon.wait_for("that it is closed", |line| {
            line["message"] == "HSM closed" && line["hsm"] == "hsm-b"
        });
    };
    let back = || {
        assert_eq!(ids(&proxy), ["hsm-a", "hsm-b"]);
        proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-b")], |usable| {
            usable == 1.0
        });
    };
    under_load(&proxy, &[(only_a, &gone), (both, &back)]);
    // The new HSM serves.
    a.set_removed(true);
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-a")], |usable| {
        usable == 0.0
    });
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn an_hsm_that_is_added_again_while_it_is_being_closed_serves() {
    let (proxy, a, b) = two_faulty(|setup| {
        // Long enough that the configuration changes before the deadline of the waiting request.
        setup.set("server.limits", "request_timeout", "\"60s\"");
    });
    let both = proxy.setup.toml();
    let at = both.find("[[hsm]]\nname = \"hsm-b\"").unwrap();
    let only_a = both[..at].to_owned();
    // This request keeps the removed HSM open, because only that one can answer it.
    a.set_removed(true);
    let usable = |hsm: &str, wanted| {
        proxy.await_metric("xks_hsm_usable", &[("hsm", hsm)], |usable| usable == wanted);
    };
    usable("hsm-a", 0.0);
    b.hang(Function::Encrypt, true);
    let mut connection = proxy.connect();
    let calls = b.calls(Function::Encrypt);
    let body = encrypt_body(b"x").to_string();
    let request = proxy.caller(&PAYMENTS).request("encrypt", "orders", body);
    connection.send(&request.bytes()).unwrap();
    eventually("the HSM at work", || {
        (b.calls(Function::Encrypt) > calls).then_some(())
    });
    proxy.reconfigure_by(&only_a);
    proxy.reconfigure_by(&both);
    b.clear_faults();
    connection.response().expect("an answer").ok();
    proxy.daemon.wait_for("that the old one is closed", |line| {
        line["message"] == "HSM closed" && line["hsm"] == "hsm-b"
    });
    usable("hsm-b", 1.0);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn an_hsm_gets_new_settings_under_load() {
    let mut proxy = Proxy::start();
    let mut with = |sessions: &str| {
        proxy.setup.set("hsm", "sessions", sessions);
        proxy.setup.toml()
    };
    let texts = [with("2"), with("6")];
    let sessions = |wanted: f64| {
        proxy.await_metric("xks_hsm_sessions", &[("hsm", "hsm-a")], |n| n == wanted);
        assert_eq!(
            proxy.metric("xks_hsm_usable", &[("hsm", "hsm-a")]),
            Some(1.0)
        );
    };
    let [two, six] = texts;
    under_load(
        &proxy,
        &[(two, &|| sessions(3.0)), (six, &|| sessions(7.0))],
    );
    assert!(proxy.has_changed("hsm.hsm-a.sessions", "changed"));
    proxy.daemon.wait_for("the change", |line| {
        line["message"] == "the new settings of the HSM are active"
    });
}

#[test]
fn an_hsm_that_opens_slowly_gets_its_new_settings() {
    let mut control = None;
    let mut proxy = Proxy::start_with(|setup| control = Some(setup.faulty_module()));
    // Longer than jobs wait for a device that is reopened.
    let control = control.unwrap();
    control.set_delay(Function::Login, 1_000_000);
    proxy.reconfigure(|setup| setup.set("hsm", "sessions", "2"));
    let outcome = proxy.daemon.wait_for("the outcome of the change", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.contains("new settings")
    });
    assert_eq!(outcome["message"], "the new settings of the HSM are active");
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn old_settings_stay_active_if_the_hsm_cannot_be_opened_with_new_ones() {
    let mut proxy = Proxy::start();
    let failed_change = |proxy: &Proxy| {
        proxy.daemon.wait_for("that the old settings stay", |line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.contains("the old ones stay active")
        })
    };
    let token = "{ label = \"no-such-token\" }";
    proxy.reconfigure(|setup| setup.set("hsm", "token", token));
    let line = failed_change(&proxy);
    assert!(
        line["reason"].as_str().unwrap().contains("no-such-token"),
        "{line}"
    );
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    assert_eq!(
        proxy.metric("xks_hsm_usable", &[("hsm", "hsm-a")]),
        Some(1.0)
    );
    assert_eq!(proxy.admin("/readyz").status, 200);
}

/// A missing token is tried again without another change of the configuration.
#[test]
fn settings_with_which_the_hsm_could_not_be_opened_are_tried_again() {
    let mut proxy = Proxy::start();
    proxy.reconfigure(|setup| setup.set("hsm", "token", "{ label = \"comes-later\" }"));
    proxy.daemon.wait_for("that the old settings stay", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.contains("the old ones stay active")
    });
    let attempts = || {
        let labels = [("hsm", "hsm-a"), ("outcome", "failed")];
        proxy
            .metric("xks_hsm_open_attempts_total", &labels)
            .unwrap_or(0.0)
    };
    let first = attempts();
    eventually("another attempt", || (attempts() > first).then_some(()));
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    // The serving worker dies. The next one has the old settings, and the new ones are still tried.
    let worker = only_worker(&proxy, "hsm-a");
    signal(worker, Signal::KILL);
    successor(&proxy, "hsm-a", worker);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    proxy.setup.token.other("comes-later");
    proxy
        .setup
        .token
        .tool_on("comes-later", "key", &["--label", HEALTH_KEY]);
    proxy.daemon.wait_for("the new settings", |line| {
        line["message"] == "the new settings of the HSM are active"
    });
}

/// The old settings stay active, and the token gets the wrong PIN once.
#[test]
fn a_wrong_pin_in_new_settings_is_tried_once() {
    let mut control = None;
    let mut proxy = Proxy::start_with(|setup| {
        setup.set("health", "interval", "\"100ms\"");
        control = Some(setup.faulty_module());
    });
    let control = control.unwrap();
    let wrong = proxy.setup.write_private("wrong-pin", "000000");
    let before = control.calls(Function::Login);
    proxy.reconfigure(|setup| setup.set("hsm", "pin", &format!("{{ file = {wrong:?} }}")));
    proxy.daemon.wait_for("that the PIN is rejected", |line| {
        let reason = line["reason"].as_str().unwrap_or_default();
        reason.contains("rejected the PIN")
    });
    // The first pause is one second.
    let checks = || {
        let labels = [("hsm", "hsm-a"), ("outcome", "ok")];
        proxy
            .metric("xks_hsm_health_checks_total", &labels)
            .unwrap_or(0.0)
    };
    let first = checks();
    eventually("thirty health checks", || {
        (checks() >= first + 30.0).then_some(())
    });
    assert_eq!(control.calls(Function::Login), before + 1);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn a_wrong_pin_is_corrected_without_a_restart() {
    let proxy = Proxy::launch(|setup| fs::write(setup.token.pin_file(), "000000").unwrap());
    proxy.daemon.wait_for("that the PIN is rejected", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        error.contains("rejected the PIN") && error.contains("until the configuration changes")
    });
    assert_eq!(proxy.admin("/readyz").status, 503);
    fs::write(proxy.setup.token.pin_file(), PIN).unwrap();
    proxy.await_ready();
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    assert!(proxy.has_changed("hsm.hsm-a.pin", "changed"));
    assert!(
        !proxy.daemon.log().join("\n").contains(PIN),
        "the log shows a PIN"
    );
}

#[test]
fn the_proxy_stops_during_a_change_of_settings() {
    let mut proxy = Proxy::start();
    proxy.reconfigure(|setup| setup.set("hsm", "token", "{ label = \"no-such-token\" }"));
    proxy.reconfigure(|setup| setup.set("hsm", "sessions", "3"));
    proxy.daemon.signal(rustix::process::Signal::TERM);
    assert!(proxy.daemon.wait().success());
}
