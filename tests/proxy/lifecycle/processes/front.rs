//! The sandbox of the front: what it prevents, and what must still work.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::daemon::Daemon;
use crate::harness::metrics::eventually;
use crate::harness::process::child_named;
use crate::harness::setup::{Setup, write_private};
use crate::harness::token::{PIN, example};
use crate::harness::{PAYMENTS, PAYMENTS_NEXT, Proxy, ROOT, StoreName};

/// A proxy whose PIN file is in a separate directory.
struct Hidden {
    proxy: Proxy,
    pin: PathBuf,
    _pins: TempDir,
}

impl Hidden {
    #[track_caller]
    fn start(change: impl FnOnce(&mut Setup)) -> Self {
        let pins = tempfile::tempdir().unwrap();
        let pin = pins.path().join("pin");
        write_private(&pin, PIN);
        let proxy = Proxy::start_with(|setup| {
            setup.set("hsm", "pin", &format!("{{ file = {pin:?} }}"));
            change(setup);
        });
        let sandbox = sandbox(&proxy.daemon);
        assert_eq!(sandbox["message"], "sandbox active");
        assert_eq!(exposed(&proxy.daemon), 0);
        Self {
            proxy,
            pin,
            _pins: pins,
        }
    }
}

/// Waits for the log line about the protections of the front.
#[track_caller]
fn sandbox(daemon: &Daemon) -> Value {
    daemon.wait_for("the sandbox of the front", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["process"] == "front" && message.starts_with("sandbox ")
    })
}

/// Counts the warnings about PIN files that the front can read.
fn exposed(daemon: &Daemon) -> usize {
    let lines = daemon.log();
    let is_it = |line: &&String| {
        line.contains("\"process\":\"front\"")
            && line.contains("a secret file is not hidden from this process")
            && line.contains("\"WARN\"")
    };
    lines.iter().filter(is_it).count()
}

/// Configures a file as the secret of a credential, so that the front reads it. Returns the error.
#[track_caller]
fn fault_of_secret(proxy: &Proxy, source: &str) -> String {
    let good = proxy.setup.toml();
    let secret = proxy.setup.directory.join(PAYMENTS_NEXT.access_key_id);
    let secret = format!("{{ file = {secret:?} }}");
    assert!(good.contains(&secret));
    let rejected = proxy.reloads("refused");
    let place = "key_store[0].credential[1].secret";
    proxy.setup.replace_by(&good.replace(&secret, source));
    proxy.await_reload("refused", rejected);
    let line = proxy.daemon.wait_for("the error of the secret", |line| {
        let fault = line["fault"].as_str().unwrap_or_default();
        fault.contains(place)
    });
    let unchanged = proxy.reloads("unchanged");
    proxy.setup.replace_by(&good);
    proxy.await_reload("unchanged", unchanged);
    line["fault"].as_str().unwrap().to_owned()
}

/// Returns a value of /proc/PID/status.
fn status(process: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mut values = status.lines().filter_map(|line| line.split_once(":\t"));
    let found = values.find(|(known, _)| *known == name);
    found.unwrap().1.to_owned()
}

#[test]
fn the_front_cannot_read_a_pin_file_in_a_separate_directory() {
    let hidden = Hidden::start(|_| {});
    let (proxy, pin) = (&hidden.proxy, &hidden.pin);
    let front = proxy.daemon.front();
    assert_eq!(status(front, "NoNewPrivs"), "1");
    assert_eq!(status(front, "Seccomp"), "2", "a filter");
    let fault = fault_of_secret(proxy, &format!("{{ file = {pin:?} }}"));
    assert!(fault.contains("Permission denied"), "{fault}");
    assert!(fault.contains(pin.to_str().unwrap()), "{fault}");
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

/// The front can read this PIN file, so the error is that the PIN is not a valid secret.
#[test]
fn a_pin_file_beside_the_configuration_causes_one_warning_with_the_fix() {
    let proxy = Proxy::start();
    assert_eq!(sandbox(&proxy.daemon)["level"], "INFO");
    let pin = proxy.setup.token.pin_file();
    let line = proxy.daemon.wait_for("the warning", |line| {
        line["process"] == "front" && line["file"] == pin.display().to_string()
    });
    let problem = line["problem"].as_str().unwrap();
    assert!(
        problem.contains("move the secret file to a directory"),
        "{problem}"
    );
    let fault = fault_of_secret(&proxy, &format!("{{ file = {pin:?} }}"));
    assert!(!fault.contains("Permission denied"), "{fault}");
    assert_eq!(exposed(&proxy.daemon), 1, "once per start");
}

#[test]
fn the_front_maps_no_pkcs11_library_and_the_worker_does() {
    let proxy = Proxy::start();
    let module = proxy.setup.token.module().canonicalize().unwrap();
    let module = module.file_name().unwrap().to_str().unwrap().to_owned();
    let maps = |process| fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let front = maps(proxy.daemon.front());
    assert!(front.contains("xks-proxy"), "{front}");
    assert!(!front.contains(&module), "{front}");
    assert!(!front.contains("pkcs11"), "{front}");
    let worker = child_named(proxy.daemon.id(), "worker").unwrap();
    assert!(maps(worker).contains(&module), "{}", maps(worker));
}

#[test]
fn a_replaced_pin_file_is_detected_and_stays_hidden() {
    let hidden = Hidden::start(|_| {});
    let proxy = &hidden.proxy;
    let before = child_named(proxy.daemon.id(), "worker");
    let new = hidden.pin.with_extension("new");
    write_private(&new, PIN);
    fs::rename(new, &hidden.pin).unwrap();
    eventually("the change", || {
        proxy.has_changed("hsm.hsm-a.pin", "changed").then_some(())
    });
    eventually("a new worker", || {
        let worker = child_named(proxy.daemon.id(), "worker");
        (worker.is_some() && worker != before).then_some(())
    });
    let fault = fault_of_secret(proxy, &format!("{{ file = {:?} }}", hidden.pin));
    assert!(fault.contains("Permission denied"), "{fault}");
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

/// Returns the subject of the active certificate.
fn served(proxy: &Proxy) -> Vec<u8> {
    let connection = proxy.connect();
    connection.tls().peer_certificates().unwrap()[0].to_vec()
}

fn rename_into(path: &Path, text: &str) {
    let new = path.with_extension("next");
    write_private(&new, text);
    fs::rename(new, path).unwrap();
}

#[test]
fn a_certificate_that_is_renewed_by_renames_or_links_is_served() {
    let volume = tempfile::tempdir().unwrap();
    let at = |name: &str| volume.path().join(name);
    let hidden = Hidden::start(|setup| {
        // The layout of a volume that Kubernetes mounts.
        fs::create_dir(at("..1")).unwrap();
        symlink("..1", at("..data")).unwrap();
        for name in ["server.pem", "server.key"] {
            fs::rename(setup.directory.join(name), at("..1").join(name)).unwrap();
            symlink(Path::new("..data").join(name), at(name)).unwrap();
        }
        setup.set_path("server.tls", "certificate", &at("server.pem"));
        setup.set_path("server.tls", "private_key", &at("server.key"));
    });
    let proxy = &hidden.proxy;
    let renew = || {
        let key = KeyPair::generate().unwrap();
        proxy.setup.authority.server(key)
    };
    let renewed = renew();
    fs::create_dir(at("..2")).unwrap();
    write_private(&at("..2/server.pem"), &renewed.certificate_pem);
    write_private(&at("..2/server.key"), &renewed.key_pem);
    symlink("..2", at("..new")).unwrap();
    fs::rename(at("..new"), at("..data")).unwrap();
    fs::remove_dir_all(at("..1")).unwrap();
    eventually("the certificate of the new volume", || {
        (served(proxy) == renewed.certificate.to_vec()).then_some(())
    });
    let renewed = renew();
    rename_into(&at("..2/server.pem"), &renewed.certificate_pem);
    rename_into(&at("..2/server.key"), &renewed.key_pem);
    eventually("the renamed certificate", || {
        (served(proxy) == renewed.certificate.to_vec()).then_some(())
    });
}

#[test]
fn a_reload_can_name_new_policy_files_in_existing_directories() {
    let [policies, elsewhere] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let path = policies.path();
    let permit = "@id(\"all\") permit(principal, action, resource);";
    fs::write(path.join("all.cedar"), permit).unwrap();
    let mut hidden = Hidden::start(|setup| {
        let table = format!("[policy]\nengine = \"cedar\"\npath = {path:?}\n");
        setup.edit("[server]\n", &format!("{table}[server]\n"));
    });
    let rejected = hidden.proxy.reloads("refused");
    let applied = hidden.proxy.reloads("applied");
    let forbid = "@id(\"none\") forbid(principal, action, resource) when { 1 == 2 };";
    rename_into(&path.join("none.cedar"), forbid);
    hidden.proxy.await_reload("applied", applied);
    let secret = elsewhere.path().join("deeper/secret");
    fs::create_dir(elsewhere.path().join("deeper")).unwrap();
    let renewed = StoreName {
        secret: ROOT.secret,
        ..PAYMENTS_NEXT
    };
    write_private(&secret, renewed.secret);
    hidden.proxy.reconfigure(|setup| {
        let old = setup.directory.join(PAYMENTS_NEXT.access_key_id);
        setup.edit(&format!("file = {old:?}"), &format!("file = {secret:?}"));
    });
    hidden.proxy.caller(&renewed).encrypt("orders", b"x");
    assert_eq!(hidden.proxy.reloads("refused"), rejected);
}

#[test]
fn a_file_that_the_sandbox_hides_is_reported_with_the_fix() {
    let hidden = Hidden::start(|_| {});
    let proxy = &hidden.proxy;
    // In the parent of the PIN file's directory.
    let late = tempfile::tempdir().unwrap();
    let secret = late.path().join("secret");
    write_private(&secret, PAYMENTS_NEXT.secret);
    let fault = fault_of_secret(proxy, &format!("{{ file = {secret:?} }}"));
    assert!(fault.contains("Permission denied"), "{fault}");
    proxy.daemon.wait_for("the fix", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "ERROR"
            && line["file"] == secret.display().to_string()
            && message.contains("the sandbox hides this file")
            && message.contains("restart the proxy")
    });
}

#[test]
fn a_pin_file_that_a_reload_names_is_reported_if_it_is_not_hidden() {
    let other = tempfile::tempdir().unwrap();
    let mut hidden = Hidden::start(|_| {});
    let pin = other.path().join("pin");
    write_private(&pin, PIN);
    hidden.proxy.reconfigure(|setup| {
        setup.set("hsm", "pin", &format!("{{ file = {pin:?} }}"));
    });
    hidden.proxy.daemon.wait_for("the warning", |line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN"
            && line["file"] == pin.display().to_string()
            && message.contains("restart the proxy to hide it")
    });
    hidden.proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn the_audit_trail_is_rotated_by_rename_and_sighup() {
    let place = tempfile::tempdir().unwrap();
    let mut trail = None;
    let hidden = Hidden::start(|setup| {
        trail = Some(setup.audit_at(&place.path().join("audit.jsonl"), ""));
    });
    let (proxy, trail) = (&hidden.proxy, trail.unwrap());
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    let rotated = place.path().join("audit.jsonl.1");
    fs::rename(trail.path(), &rotated).unwrap();
    proxy.daemon.signal(Signal::HUP);
    eventually("a new file", || trail.path().exists().then_some(()));
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    assert!(fs::metadata(rotated).unwrap().len() > 0);
    assert_eq!(proxy.metric("xks_audit_healthy", &[]), Some(1.0));
}

#[test]
fn the_pin_credential_of_systemd_is_hidden_and_a_secret_is_not() {
    let credentials = tempfile::tempdir().unwrap();
    let at = |name: &str| credentials.path().join(name);
    write_private(&at("hsm.pin"), PIN);
    write_private(&at("payments"), PAYMENTS.secret);
    let proxy = Proxy::start_with(|setup| {
        let directory = credentials.path().display().to_string();
        setup
            .variables
            .push(("CREDENTIALS_DIRECTORY".into(), directory));
        setup.set("hsm", "pin", "{ credential = \"hsm.pin\" }");
        let file = setup.directory.join(PAYMENTS.access_key_id);
        let file = format!("secret = {{ file = {file:?} }}");
        setup.edit(&file, "secret = { credential = \"payments\" }");
    });
    assert_eq!(sandbox(&proxy.daemon)["message"], "sandbox active");
    assert_eq!(exposed(&proxy.daemon), 0);
    let fault = fault_of_secret(&proxy, "{ credential = \"hsm.pin\" }");
    assert!(fault.contains("Permission denied"), "{fault}");
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

/// A thread that hangs in the file system keeps its access to files, so the sandbox cannot be applied.
#[test]
fn a_sandbox_that_cannot_be_applied_is_an_error_and_the_proxy_serves() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("mount")).unwrap();
    let module = at("mount").join("module.so");
    symlink(setup.token.module(), &module).unwrap();
    setup.set_path("hsm", "module", &module);
    setup.preload("libhanging_mount.so");
    for (name, path) in [
        ("XKS_TEST_MOUNT", at("mount")),
        ("XKS_TEST_MOUNT_HANGS", at("hangs")),
    ] {
        let path = path.display().to_string();
        setup.variables.push((name.into(), path));
    }
    fs::write(at("hangs"), "").unwrap();
    assert!(example("libhanging_mount.so").exists());
    let file = setup.write();
    let daemon = Daemon::start(&file, &setup.variables);
    let line = sandbox(&daemon);
    assert_eq!(line["level"], "ERROR");
    let missing = line["missing"].as_str().unwrap();
    assert!(missing.contains("file access"), "{missing}");
    assert!(missing.contains("threads"), "{missing}");
    assert_eq!(status(daemon.front(), "NoNewPrivs"), "1");
    fs::remove_file(at("hangs")).unwrap();
    daemon.wait_for("ready", |line| line["message"] == "ready");
}
