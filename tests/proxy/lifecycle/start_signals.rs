//! Signals during the start, and signals that the proxy ignores.

use rustix::process::Signal;

use crate::harness::control::{Control, Function};
use crate::harness::daemon::Daemon;
use crate::harness::http::plain;
use crate::harness::metrics::{eventually, sample};
use crate::harness::process;
use crate::harness::setup::Setup;
use crate::harness::{PAYMENTS, Proxy};

/// Starts a proxy whose HSM opens slowly, so that the start takes long.
fn slow_start(directory: &std::path::Path) -> (Daemon, Control) {
    let mut setup = Setup::new(directory);
    let control = setup.faulty_module();
    control.hang(Function::OpenSession, true);
    let file = setup.write();
    (Daemon::start(&file, &setup.variables), control)
}

#[test]
fn sighup_during_the_start_causes_a_reload_after_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (mut daemon, control) = slow_start(directory.path());
    // As early as possible: as soon as the process exists.
    daemon.await_caught(Signal::HUP);
    for _ in 0..100 {
        // Without `Daemon::signal`, which would wait for the front.
        process::signal(daemon.id(), Signal::HUP);
        assert!(!daemon.has_ended());
    }
    eventually("the HSM being opened", || {
        (control.calls(Function::OpenSession) > 0).then_some(())
    });
    daemon.signal(Signal::HUP);
    control.hang(Function::OpenSession, false);
    daemon.wait_for("ready", |line| line["message"] == "ready");
    let admin = daemon.address("admin");
    eventually("a reload after the start", || {
        let text = String::from_utf8(plain(admin, "GET", "/metrics").body).unwrap();
        let unchanged = [("outcome", "unchanged")];
        let mut lines = text.lines();
        let read = lines.find_map(|line| sample(line, "xks_config_reloads_total", &unchanged));
        (read? >= 1.0).then_some(())
    });
}

#[test]
fn sigterm_and_sigint_during_the_start_end_it_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = tempfile::tempdir().unwrap();
        let (mut daemon, control) = slow_start(directory.path());
        eventually("the HSM being opened", || {
            (control.calls(Function::OpenSession) > 0).then_some(())
        });
        daemon.signal(signal);
        daemon.wait_for("stopped", |line| line["message"] == "stopped");
        assert_eq!(daemon.wait().code(), Some(0), "{signal:?}");
        control.hang(Function::OpenSession, false);
    }
}

#[test]
fn sigusr1_and_sigusr2_are_ignored_with_a_warning() {
    let proxy = Proxy::start();
    for (signal, name) in [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        proxy.daemon.signal(signal);
        proxy.daemon.wait_for(name, |line| {
            line["signal"] == name && line["level"] == "WARN"
        });
    }
    proxy.daemon.signal(Signal::PIPE);
    proxy.daemon.signal_front(Signal::PIPE);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}
