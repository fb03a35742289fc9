//! Sessions that hang inside the library.

use std::time::{Duration, Instant};

use super::load::under_load;
use super::{only_worker, successor};
use crate::harness::control::Function;
use crate::harness::metrics::eventually;
use crate::harness::outage::{faulty_with, two_faulty};
use crate::harness::process::{children, descriptors, runs, threads};
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

/// The resources of a service: processes, descriptors of launcher and front, and threads of the front.
#[derive(Debug, PartialEq, Eq)]
struct Holds {
    processes: usize,
    launcher_descriptors: usize,
    front_descriptors: usize,
    threads: usize,
}

fn holds(proxy: &Proxy) -> Holds {
    let (launcher, front) = (proxy.daemon.id(), proxy.daemon.front());
    Holds {
        processes: children(launcher).len(),
        launcher_descriptors: descriptors(launcher).len(),
        front_descriptors: descriptors(front).len(),
        threads: threads(front),
    }
}

/// Every request is answered within the request timeout, and the HSM serves again without a restart of the proxy.
#[test]
fn when_all_sessions_hang_answers_are_in_time_and_resources_are_released() {
    let (proxy, device) = faulty_with(|setup| {
        setup.set("server.limits", "request_timeout", "\"1s\"");
        setup.set("hsm", "hang_timeout", "\"300ms\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    let before = holds(&proxy);
    for _ in 0..3 {
        let worker = only_worker(&proxy, "hsm-a");
        device.hang(Function::Encrypt, true);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let began = Instant::now();
                    let response = payments.call("encrypt", "orders", &encrypt_body(b"x"));
                    assert!(
                        [200, 429, 500, 503].contains(&response.status),
                        "{response:?}"
                    );
                    // The timeout plus a margin for a busy machine.
                    assert!(began.elapsed() < Duration::from_secs(15), "{response:?}");
                });
            }
        });
        eventually("the end of the worker that hangs", || {
            (!runs(worker)).then_some(())
        });
        device.hang(Function::Encrypt, false);
        successor(&proxy, "hsm-a", worker);
        payments.encrypt("orders", b"x");
    }
    eventually("the same resources as before", || {
        (holds(&proxy) == before).then_some(())
    });
}

/// One of four sessions hangs. Requests on the others succeed while a new worker takes over.
#[test]
fn a_session_that_hangs_does_not_affect_the_others() {
    let (proxy, device) = faulty_with(|setup| {
        setup.set("server.limits", "request_timeout", "\"3s\"");
        setup.set("hsm", "hang_timeout", "\"500ms\"");
    });
    let worker = only_worker(&proxy, "hsm-a");
    let payments = proxy.caller(&PAYMENTS);
    let before = holds(&proxy);
    std::thread::scope(|scope| {
        device.hang_next(Function::Encrypt);
        scope.spawn(|| payments.call("encrypt", "orders", &encrypt_body(b"x")));
        eventually("a session that hangs", || {
            (device.stuck(Function::Encrypt) == 1).then_some(())
        });
        let tally = under_load(&proxy, 2, |tally| {
            eventually("the end of the worker that hangs", || {
                (!runs(worker)).then_some(())
            });
            successor(&proxy, "hsm-a", worker);
            let before = tally.done();
            eventually("requests on the successor", || {
                (tally.done() > before + 10).then_some(())
            });
        });
        tally.assert_none_failed();
    });
    device.clear_faults();
    eventually("the same resources as before", || {
        let now = holds(&proxy);
        (now.processes == before.processes && now.threads <= before.threads).then_some(())
    });
}

/// All sessions of the first HSM hang, repeatedly. The second HSM serves, so no request fails.
#[test]
fn hangs_of_one_of_two_hsms_cost_no_request() {
    let (proxy, a, _b) = two_faulty(|setup| setup.set("hsm", "hang_timeout", "\"300ms\""));
    let tally = under_load(&proxy, 4, |_| {
        for _ in 0..3 {
            let worker = only_worker(&proxy, "hsm-a");
            a.hang(Function::Encrypt, true);
            a.hang(Function::Decrypt, true);
            eventually("the end of the worker that hangs", || {
                (!runs(worker)).then_some(())
            });
            a.clear_faults();
            successor(&proxy, "hsm-a", worker);
        }
    });
    tally.assert_none_failed();
}
