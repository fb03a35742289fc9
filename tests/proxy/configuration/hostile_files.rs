//! Paths in the configuration can name files of any type, and a file can change its type while the proxy serves. The proxy still applies the
//! next change.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;

use crate::commands::command_line::run;
use crate::harness::metrics::eventually;
use crate::harness::setup::Setup;
use crate::harness::token::example;
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

fn fifo(path: &Path) {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o600)).unwrap();
}

/// Disables a key store. This must work in spite of all other errors.
fn disable_payments(proxy: &mut Proxy) {
    proxy.reconfigure(|setup| setup.edit("state = \"enabled\"\n", "state = \"disabled\"\n"));
    let response = proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(400, "InvalidStateException");
}

/// Replaces a file, and waits until the proxy logs the type of the new file. Returns the old content.
fn replaced(proxy: &Proxy, file: &Path, is: &str, replace: impl FnOnce(&Path)) -> Vec<u8> {
    let rejected = proxy.reloads("refused");
    let good = fs::read(file).unwrap();
    fs::remove_file(file).unwrap();
    replace(file);
    let error = format!("it is {is}, not a regular file");
    proxy.daemon.wait_for(&error, |line| {
        let fault = line["fault"].as_str().unwrap_or_default();
        fault.contains(&error) && fault.contains(file.to_str().unwrap())
    });
    proxy.await_reload("refused", rejected);
    good
}

#[test]
fn a_fifo_or_a_directory_instead_of_a_secret_only_causes_an_error() {
    let mut proxy = Proxy::start();
    let secret = proxy.setup.directory.join(PAYMENTS.access_key_id);
    let put_back = |proxy: &Proxy, good: &[u8]| {
        let unchanged = proxy.reloads("unchanged");
        proxy
            .setup
            .write_private("good", std::str::from_utf8(good).unwrap());
        fs::rename(proxy.setup.directory.join("good"), &secret).unwrap();
        proxy.await_reload("unchanged", unchanged);
    };
    let good = replaced(&proxy, &secret, "a FIFO", fifo);
    assert_eq!(
        proxy.metric("xks_reload_not_applied", &[("setting", "configuration")]),
        Some(1.0)
    );
    put_back(&proxy, &good);
    assert_eq!(
        proxy.metric("xks_reload_not_applied", &[("setting", "configuration")]),
        None
    );
    let good = replaced(&proxy, &secret, "a directory", |path| {
        fs::create_dir(path).unwrap();
    });
    fs::remove_dir(&secret).unwrap();
    put_back(&proxy, &good);
    disable_payments(&mut proxy);
}

#[test]
fn a_fifo_instead_of_the_configuration_is_reported_until_it_is_removed() {
    let mut proxy = Proxy::start();
    let config = proxy.setup.directory.join("config.toml");
    replaced(&proxy, &config, "a FIFO", fifo);
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    disable_payments(&mut proxy);
}

#[test]
fn a_fifo_in_the_place_of_the_certificate_does_not_keep_the_rest_from_taking_effect() {
    let mut proxy = Proxy::start();
    let certificate = proxy.setup.directory.join("server.pem");
    fs::remove_file(&certificate).unwrap();
    fifo(&certificate);
    disable_payments(&mut proxy);
    proxy.await_metric(
        "xks_certificate_reload_failures_total",
        &[("reason", "unreadable")],
        |count| count >= 1.0,
    );
}

#[test]
fn devices_and_endless_files_end_the_start_with_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let sparse = directory.path().join("disk.img");
    fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
    for (path, said) in [
        (PathBuf::from("/dev/zero"), "it is a device"),
        (directory.path().to_owned(), "it is a directory"),
        (sparse, "it is larger than 64 MiB"),
    ] {
        setup.set_path("server.tls", "certificate", &path);
        let file = setup.write();
        for command in ["serve", "check-config"] {
            let (code, _, stderr) = run(&[command, "--config", file.to_str().unwrap()]);
            assert_eq!(code, Some(78), "{command}: {stderr}");
            assert!(stderr.contains("server.tls.certificate"), "{stderr}");
            assert!(stderr.contains(said), "{stderr}");
        }
    }
    let fifo_path = directory.path().join("fifo");
    fifo(&fifo_path);
    let (code, _, stderr) = run(&["serve", "--config", fifo_path.to_str().unwrap()]);
    assert_eq!(code, Some(78));
    assert!(stderr.contains("it is a FIFO"), "{stderr}");
}

#[test]
fn a_command_that_does_one_thing_reads_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let file = Setup::new(directory.path()).write();
    // Relative paths would begin at /dev/fd; those of the tests are absolute.
    let script = format!(
        "{:?} check-config --config <(cat {file:?})",
        env!("CARGO_BIN_EXE_xks-proxy")
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A proxy with its certificate on a file server that can stop to answer; the file that makes it.
fn on_a_file_server(setup: &mut Setup) -> PathBuf {
    let mount = setup.directory.join("policies").join("mount");
    fs::create_dir_all(&mount).unwrap();
    for name in ["server.pem", "server.key"] {
        fs::rename(setup.directory.join(name), mount.join(name)).unwrap();
    }
    setup.set_path("server.tls", "certificate", &mount.join("server.pem"));
    setup.set_path("server.tls", "private_key", &mount.join("server.key"));
    let hangs = setup.directory.join("hangs");
    let library = example("libhanging_mount.so");
    for (name, value) in [
        ("LD_PRELOAD", &library),
        ("XKS_TEST_MOUNT", &mount),
        ("XKS_TEST_MOUNT_HANGS", &hangs),
    ] {
        setup
            .variables
            .push((name.into(), value.display().to_string()));
    }
    hangs
}

#[test]
fn a_file_server_that_does_not_answer_does_not_prevent_disabling_a_store() {
    let mut hangs = None;
    let mut proxy = Proxy::start_with(|setup| hangs = Some(on_a_file_server(setup)));
    let hangs = hangs.unwrap();
    fs::write(&hangs, "").unwrap();
    disable_payments(&mut proxy);
    let unreadable = [("reason", "unreadable")];
    proxy.await_metric(
        "xks_certificate_reload_failures_total",
        &unreadable,
        |count| count >= 1.0,
    );
    proxy.daemon.wait_for("that it does not answer", |line| {
        let fault = line["fault"].as_str().unwrap_or_default();
        fault.contains("the file system does not answer")
    });
    fs::remove_file(&hangs).unwrap();
    proxy.daemon.wait_for("the end of it", |line| {
        line["message"] == "the certificate in the files is active"
    });
    // Not one thread more for each look.
    let threads = proxy.metric("process_threads", &[]).unwrap();
    assert!(threads < 60.0, "{threads}");
}

#[test]
fn a_start_waits_for_a_file_server_and_still_stops_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let hangs = on_a_file_server(&mut setup);
    let file = setup.write();
    fs::write(&hangs, "").unwrap();
    let mut daemon = crate::harness::daemon::Daemon::start(&file, &setup.variables);
    daemon.await_caught(Signal::TERM);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let daemon = crate::harness::daemon::Daemon::start(&file, &setup.variables);
    daemon.await_caught(Signal::TERM);
    fs::remove_file(&hangs).unwrap();
    daemon.wait_for("ready", |line| line["message"] == "ready");
}

#[test]
fn sighup_during_the_first_reading_is_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let hangs = on_a_file_server(&mut setup);
    let file = setup.write();
    fs::write(&hangs, "").unwrap();
    let daemon = crate::harness::daemon::Daemon::start(&file, &setup.variables);
    let handled = 1_u64 << (Signal::HUP.as_raw() - 1);
    eventually("a handler in the front", || {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.front())).ok()?;
        let mut lines = status.lines();
        let caught = lines.find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & handled != 0).then_some(())
    });
    daemon.signal_front(Signal::HUP);
    fs::remove_file(&hangs).unwrap();
    daemon.wait_for("a reading after the start", |line| {
        line["message"] == "configuration reloaded; nothing changed"
    });
}

#[test]
fn a_hanging_file_server_with_policies_fails_one_reload_and_blocks_none() {
    let mut hangs = None;
    let mut proxy = Proxy::start_with(|setup| {
        hangs = Some(on_a_file_server(setup));
        let policies = setup.directory.join("policies");
        let all = "permit(principal, action, resource);";
        fs::write(policies.join("all.cedar"), all).unwrap();
        let table = format!("[policy]\nengine = \"cedar\"\npath = {policies:?}\n");
        setup.edit("[server]\n", &format!("{table}[server]\n"));
    });
    let (hangs, rejected) = (hangs.unwrap(), proxy.reloads("refused"));
    fs::write(&hangs, "").unwrap();
    proxy.daemon.signal(Signal::HUP);
    proxy.daemon.wait_for("that it does not answer", |line| {
        let fault = line["fault"].as_str().unwrap_or_default();
        fault.contains("polic") && fault.contains("the file system does not answer")
    });
    proxy.await_reload("refused", rejected);
    fs::remove_file(&hangs).unwrap();
    disable_payments(&mut proxy);
}
