//! HSMs are added, taken away and given other settings while the proxy serves.

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

/// Encrypts until told to stop; every request must succeed.
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

/// Applies each configuration in turn under load, and waits for what is to be seen then.
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
fn an_hsm_is_taken_away_and_added_under_load() {
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
    // The new one really serves.
    a.set_removed(true);
    proxy.await_metric("xks_hsm_usable", &[("hsm", "hsm-a")], |usable| {
        usable == 0.0
    });
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn an_hsm_that_comes_back_while_it_is_leaving_is_seen() {
    let (proxy, a, b) = two_faulty(|setup| {
        // The configuration changes before the deadline of the request that waits.
        setup.set("server.limits", "request_timeout", "\"60s\"");
    });
    let both = proxy.setup.toml();
    let at = both.find("[[hsm]]\nname = \"hsm-b\"").unwrap();
    let only_a = both[..at].to_owned();
    // A request that only the one that leaves can answer keeps it.
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
    b.heal();
    connection.response().expect("an answer").ok();
    proxy.daemon.wait_for("that the old one is closed", |line| {
        line["message"] == "HSM closed" && line["hsm"] == "hsm-b"
    });
    usable("hsm-b", 1.0);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn an_hsm_gets_other_settings_under_load() {
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
        line["message"] == "the HSM's new settings are in force"
    });
}

#[test]
fn an_hsm_that_opens_slowly_gets_its_other_settings_all_the_same() {
    let mut control = None;
    let mut proxy = Proxy::start_with(|setup| control = Some(setup.faulty_module()));
    // Jobs wait 250 ms for a device that is opened again; a change of settings waits longer.
    let control = control.unwrap();
    control.set_delay(Function::Login, 1_000_000);
    proxy.reconfigure(|setup| setup.set("hsm", "sessions", "2"));
    let outcome = proxy.daemon.wait_for("the outcome of the change", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.contains("new settings")
    });
    assert_eq!(outcome["message"], "the HSM's new settings are in force");
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn settings_that_do_not_open_the_hsm_leave_the_old_ones_in_force() {
    let mut proxy = Proxy::start();
    let refused = |proxy: &Proxy| {
        proxy.daemon.wait_for("that the old settings stay", |line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.contains("goes on with the old ones")
        })
    };
    let token = "{ label = \"no-such-token\" }";
    proxy.reconfigure(|setup| setup.set("hsm", "token", token));
    let line = refused(&proxy);
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

/// Nobody has to change the configuration once more: the token that was not there is tried again.
#[test]
fn settings_that_did_not_open_the_hsm_are_tried_again() {
    let mut proxy = Proxy::start();
    proxy.reconfigure(|setup| setup.set("hsm", "token", "{ label = \"comes-later\" }"));
    proxy.daemon.wait_for("that the old settings stay", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.contains("goes on with the old ones")
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
    // The worker that serves dies: the next one has the settings that open, and the new ones are still tried.
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
        line["message"] == "the HSM's new settings are in force"
    });
}

/// The old settings serve on, and the token has seen the wrong PIN once.
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
    proxy.daemon.wait_for("that the PIN is refused", |line| {
        let reason = line["reason"].as_str().unwrap_or_default();
        reason.contains("refuses the PIN")
    });
    // The first pause of a retry is a second.
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
fn a_wrong_pin_is_mended_without_a_restart() {
    let proxy = Proxy::launch(|setup| fs::write(setup.token.pin_file(), "000000").unwrap());
    proxy.daemon.wait_for("that the PIN is refused", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        error.contains("refuses the PIN") && error.contains("until the configuration changes")
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
fn a_stop_in_the_middle_of_a_change_ends_all_the_same() {
    let mut proxy = Proxy::start();
    proxy.reconfigure(|setup| setup.set("hsm", "token", "{ label = \"no-such-token\" }"));
    proxy.reconfigure(|setup| setup.set("hsm", "sessions", "3"));
    proxy.daemon.signal(rustix::process::Signal::TERM);
    assert!(proxy.daemon.wait().success());
}
