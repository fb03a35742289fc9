//! When a process ends, no other process and no descriptor is left.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use super::load::under_load;
use super::{only_worker, successor};
use crate::harness::PAYMENTS;
use crate::harness::control::{Function, Misdeed};
use crate::harness::metrics::eventually;
use crate::harness::outage::{faulty_with, two_faulty};
use crate::harness::process::{await_end, children, descriptors, signal};
use crate::harness::wire::encrypt_body;

/// A child process of a library is in the process group of its worker, and is killed with it.
#[test]
fn child_processes_of_a_library_end_with_its_worker() {
    let (proxy, device) = faulty_with(|_| {});
    let payments = proxy.caller(&PAYMENTS);
    for end in [Signal::KILL, Signal::ABORT] {
        let worker = only_worker(&proxy, "hsm-a");
        device.commit_next(Function::Encrypt, Misdeed::Fork);
        payments.encrypt("orders", b"x");
        let child = eventually("a child of the worker", || children(worker).pop());
        signal(worker, end);
        await_end(child);
        successor(&proxy, "hsm-a", worker);
    }
    // A worker that ends on request.
    let mut proxy = proxy;
    let worker = only_worker(&proxy, "hsm-a");
    device.commit_next(Function::Encrypt, Misdeed::Fork);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    let child = eventually("a child of the worker", || children(worker).pop());
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    await_end(child);
    await_end(worker);
}

/// All sessions and the health monitor hang, with requests in progress.
#[test]
fn sigterm_with_a_hanging_worker_ends_the_service() {
    let (mut proxy, device) = faulty_with(|setup| {
        setup.set("server.limits", "request_timeout", "\"1s\"");
        setup.set("hsm", "hang_timeout", "\"60s\"");
    });
    let workers = [only_worker(&proxy, "hsm-a")];
    for function in [
        Function::Encrypt,
        Function::Decrypt,
        Function::CloseSession,
        Function::Finalize,
    ] {
        device.hang(function, true);
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                proxy
                    .caller(&PAYMENTS)
                    .call("encrypt", "orders", &encrypt_body(b"x"))
            });
        }
        eventually("calls that hang", || {
            (device.stuck(Function::Encrypt) > 0).then_some(())
        });
    });
    proxy.daemon.signal(Signal::TERM);
    assert_eq!(proxy.daemon.wait().code(), Some(0));
    workers.into_iter().for_each(await_end);
}

/// Launcher, front or a worker is killed while the workers hang.
#[test]
fn no_process_outlives_the_service() {
    for hangs in [false, true] {
        for victim in ["launcher", "front"] {
            let (mut proxy, a, b) = two_faulty(|_| {});
            let workers = ["hsm-a", "hsm-b"].map(|hsm| only_worker(&proxy, hsm));
            let front = proxy.daemon.front();
            for device in [&a, &b] {
                Function::ALL
                    .iter()
                    .for_each(|function| device.hang(*function, hangs));
            }
            match victim {
                "launcher" => proxy.daemon.signal(Signal::KILL),
                _ => proxy.daemon.signal_front(Signal::KILL),
            }
            let code = proxy.daemon.wait().code();
            assert!(matches!(code, None | Some(70)), "{victim}: {code:?}");
            workers.into_iter().chain([front]).for_each(await_end);
        }
    }
}

/// Without free descriptors, no new worker can be started. The log has an error, and the service recovers.
#[test]
fn a_front_or_a_launcher_without_descriptors_is_an_error_in_the_log_and_recovers() {
    for victim in ["front", "launcher"] {
        let (proxy, _device) = faulty_with(|_| {});
        let worker = only_worker(&proxy, "hsm-a");
        proxy.caller(&PAYMENTS).encrypt("orders", b"x");
        let process = match victim {
            "front" => proxy.daemon.front(),
            _ => proxy.daemon.id(),
        };
        // Below the current number: even after the worker ended, no descriptor is free.
        limit_descriptors(process, 3);
        signal(worker, Signal::KILL);
        let line = proxy.daemon.wait_for("the reason", |line| {
            line["message"] == "the HSM cannot be opened"
        });
        let error = line["error"].as_str().unwrap();
        assert!(
            error.contains("descriptors") || error.contains("open files"),
            "{victim}: {error}"
        );
        limit_descriptors(process, 1_024);
        successor(&proxy, "hsm-a", worker);
        eventually("service", || {
            let response = proxy
                .caller(&PAYMENTS)
                .call("encrypt", "orders", &encrypt_body(b"x"));
            (response.status == 200).then_some(())
        });
    }
}

#[track_caller]
fn limit_descriptors(process: u32, current: u64) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(current),
        maximum,
    };
    prlimit(pid, Resource::Nofile, limit).unwrap();
}

/// Workers that end leave no descriptors in launcher and front.
#[test]
fn many_workers_leave_no_descriptors() {
    let (proxy, a, _b) = two_faulty(|_| {});
    let count = |process| descriptors(process).len();
    let processes = [proxy.daemon.id(), proxy.daemon.front()];
    let mut worker = only_worker(&proxy, "hsm-a");
    let mut before = None;
    for round in 0..6 {
        signal(worker, Signal::KILL);
        worker = successor(&proxy, "hsm-a", worker);
        if round == 0 {
            before = Some(processes.map(count));
        }
    }
    eventually("as many descriptors as before", || {
        (processes.map(count) <= before.unwrap()).then_some(())
    });
    let tally = under_load(&proxy, 1, |tally| {
        eventually("requests", || (tally.done() > 100).then_some(()));
    });
    tally.assert_none_failed();
    assert!(fs::metadata(format!("/proc/{worker}")).is_ok());
    drop(a);
}
