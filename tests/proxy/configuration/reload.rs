//! The configuration changes while the proxy serves: however files are replaced, as a whole or not at all, and nobody notices.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::ALL_VERSIONS;
use serde_json::Value;

use crate::harness::http::tcp;
use crate::harness::load::Stop;
use crate::harness::metrics::eventually;
use crate::harness::pki::tls_client;
use crate::harness::setup::write_private;
use crate::harness::wire::{bytes, decrypt_body, encrypt_body};
use crate::harness::{PAYMENTS, PAYMENTS_NEXT, Proxy, StoreName};

/// A new store that serves the key `orders` of the token, which is in no other store of its configuration then.
const ARCHIVE: &str =
    "[[key_store]]\nname = \"archive\"\npath_prefix = \"/archive\"\nregion = \"eu-west-1\"\n";

/// Interval between two checks of the files by the proxy. A file that differs from check to check is not read.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Longer than the proxy waits for files to settle.
const SLOWLY: Duration = Duration::from_millis(700);

fn serves(proxy: &Proxy) {
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn a_file_that_is_renamed_over_the_configuration_is_read() {
    let mut proxy = Proxy::start();
    let archive = format!(
        "{ARCHIVE}[[key_store.credential]]\naccess_key_id = \"XKSARCHIVEKEYAAAAAAA\"\nsecret = {{ file = {:?} }}\n",
        proxy.setup.directory.join(PAYMENTS.access_key_id)
    );
    let store = StoreName {
        name: "archive",
        prefix: "/archive",
        access_key_id: "XKSARCHIVEKEYAAAAAAA",
        ..PAYMENTS
    };
    let health = |proxy: &Proxy| {
        let caller = proxy.caller(&store);
        let body = crate::harness::wire::plain_body("health");
        caller.call("health", "", &body).status
    };
    assert_eq!(health(&proxy), 404);
    proxy.reconfigure(|setup| setup.append(&archive));
    assert_eq!(health(&proxy), 200);
    assert!(proxy.has_changed("key_store.archive", "added"));
    proxy.reconfigure(|setup| setup.edit(&archive, ""));
    assert_eq!(health(&proxy), 404);
    assert!(proxy.has_changed("key_store.archive", "removed"));
    serves(&proxy);
}

#[test]
fn sighup_has_an_unchanged_configuration_read_too() {
    let proxy = Proxy::start();
    let before = proxy.reloads("unchanged");
    proxy.daemon.signal(Signal::HUP);
    proxy.await_reload("unchanged", before);
    assert_eq!(proxy.reloads("applied"), 0.0);
    serves(&proxy);
}

/// Writes half of a text in place, repeatedly, and then all of it. Returns whether the file differed from check to check.
fn write_slowly(file: &Path, half: &str, whole: &str) -> bool {
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    let mut last = began;
    let mut write = |text| {
        fs::write(file, text).unwrap();
        longest = longest.max(last.elapsed());
        last = Instant::now();
    };
    eventually("half of it for a while", || {
        write(half);
        (began.elapsed() > SLOWLY).then_some(())
    });
    write(whole);
    longest < LOOK_EVERY
}

#[test]
fn a_file_that_is_written_in_place_is_read_when_it_is_whole() {
    // If the machine delays the writer, the proxy may rightly take the half for the whole: such an attempt shows nothing.
    let proxy = eventually("a writer that is never late", || {
        let mut proxy = Proxy::start();
        proxy.setup.edit("level = \"info\"", "level = \"debug\"");
        let text = proxy.setup.toml();
        let file = proxy.setup.directory.join("config.toml");
        // Half of it is a configuration, too: one without its last stores.
        let half = text.find("[[key_store]]\nname = \"root\"").unwrap();
        write_slowly(&file, &text[..half], &text).then_some(proxy)
    });
    proxy.await_reload("applied", 0.0);
    assert_eq!(proxy.changes(), [("log.level".into(), "changed".into())]);
    // Somebody who leaves in the middle of a handshake is worth a line of this level.
    drop(tcp(proxy.server).unwrap());
    proxy
        .daemon
        .wait_for("a line of level debug", |line| line["level"] == "DEBUG");
}

/// A directory as Kubernetes mounts it: every file is a link through `..data`, which is a link to a directory of this version.
fn mounted(directory: &Path, version: u32, text: &str) {
    let contents = directory.join(format!("..version-{version}"));
    fs::create_dir(&contents).unwrap();
    fs::write(contents.join("config.toml"), text).unwrap();
    let link = directory.join("..data_tmp");
    symlink(&contents, &link).unwrap();
    fs::rename(link, directory.join("..data")).unwrap();
}

#[test]
fn a_link_that_points_elsewhere_is_a_change() {
    let mut mount = None;
    let mut proxy = Proxy::start_with(|setup| {
        let directory = setup.directory.join("mounted");
        fs::create_dir(&directory).unwrap();
        mounted(&directory, 1, &setup.toml());
        symlink("..data/config.toml", directory.join("config.toml")).unwrap();
        setup.launch_with = Some(directory.join("config.toml"));
        mount = Some(directory);
    });
    let mount = mount.unwrap();
    proxy
        .setup
        .edit("name = \"payments\"\n", "name = \"payments\"\nweight = 2\n");
    mounted(&mount, 2, &proxy.setup.toml());
    proxy.await_reload("applied", 0.0);
    assert!(proxy.has_changed("key_store.payments.weight", "changed"));
    fs::remove_dir_all(mount.join("..version-1")).unwrap();
    serves(&proxy);
}

#[test]
fn a_secret_file_is_watched_like_the_configuration() {
    let proxy = Proxy::start();
    let secret = "N3wSecretN3wSecretN3wSecretN3wSecretN3wSecret=";
    let changed = StoreName { secret, ..PAYMENTS };
    let new = proxy.setup.write_private("secret.new", secret);
    let caller = proxy.caller(&changed);
    let status = || caller.call("encrypt", "orders", &encrypt_body(b"x")).status;
    assert_eq!(status(), 401);
    fs::rename(new, proxy.setup.directory.join(PAYMENTS.access_key_id)).unwrap();
    proxy.await_reload("applied", 0.0);
    assert_eq!(status(), 200);
    let place = format!(
        "key_store.payments.credential.{}.secret",
        PAYMENTS.access_key_id
    );
    assert_eq!(proxy.changes(), [(place, "changed".into())]);
    assert!(
        !proxy.daemon.log().join("\n").contains(secret),
        "the log shows a secret"
    );
    let old = proxy.caller(&PAYMENTS);
    old.call("encrypt", "orders", &encrypt_body(b"x"))
        .assert_error(401, "AuthenticationFailedException");
    proxy.caller(&PAYMENTS_NEXT).encrypt("orders", b"x");
}

#[test]
fn new_connections_see_a_new_certificate_and_old_ones_live_on() {
    let mut proxy = Proxy::start();
    let payments_request = |proxy: &Proxy| {
        let body = encrypt_body(b"x").to_string();
        proxy.caller(&PAYMENTS).request("encrypt", "orders", body)
    };
    let mut old = proxy.connect();
    old.exchange(&payments_request(&proxy)).ok();
    let expiry = |proxy: &Proxy| {
        let labels = [("role", "server")];
        proxy.metric("xks_tls_certificate_expiry_timestamp_seconds", &labels)
    };
    let authority = crate::harness::pki::Authority::new("Another CA");
    let identity = authority.server(rcgen::KeyPair::generate().unwrap());
    // Key and certificate are two files: for a moment they do not belong together.
    let mut moment = Duration::ZERO;
    proxy.reconfigure(|setup| {
        let began = Instant::now();
        setup.server_identity(&identity);
        moment = began.elapsed();
    });
    assert!(
        proxy.try_connect().is_err(),
        "the old CA is not trusted with the new certificate"
    );
    proxy.client = tls_client(authority.der(), ALL_VERSIONS, None, &["http/1.1"]);
    let mut new = proxy.connect();
    new.exchange(&payments_request(&proxy)).ok();
    old.exchange(&payments_request(&proxy)).ok();
    for part in ["certificate", "private_key"] {
        assert!(proxy.has_changed(&format!("server.tls.{part}"), "changed"));
    }
    assert!(expiry(&proxy).is_some());
    assert!(
        proxy.reloads("refused") == 0.0 || moment >= LOOK_EVERY,
        "the two files were not read together"
    );
}

#[test]
fn client_certificates_can_be_required_and_then_disabled() {
    let mut proxy = Proxy::start();
    serves(&proxy);
    proxy.reconfigure(|setup| setup.require_client_certificates());
    let rejected = proxy.try_connect().and_then(|mut connection| {
        let body = encrypt_body(b"x").to_string();
        let request = proxy.caller(&PAYMENTS).request("encrypt", "orders", body);
        connection.send(&request.bytes())?;
        connection.try_response()
    });
    assert!(
        !matches!(rejected, Ok(Some(_))),
        "served without a certificate"
    );
    let labels = [("role", "client_ca")];
    let expiry =
        |proxy: &Proxy| proxy.metric("xks_tls_certificate_expiry_timestamp_seconds", &labels);
    assert!(expiry(&proxy).is_some());
    proxy.reconfigure(|setup| {
        setup.unset("server.tls.client_auth", "ca");
        setup.unset("server.tls.client_auth", "subjects");
        setup.edit("[server.tls.client_auth]\n", "");
    });
    serves(&proxy);
    assert!(expiry(&proxy).is_none(), "the client CA was removed");
}

#[test]
fn a_configuration_with_faults_changes_nothing_and_is_read_again_when_it_changes() {
    let mut proxy = Proxy::start();
    let good = proxy.setup.toml();
    let successful = |proxy: &Proxy| proxy.metric("xks_config_last_reload_successful", &[]);
    assert_eq!(successful(&proxy), Some(1.0));
    // One good change beside the fault: it must not be applied either.
    proxy.setup.edit(
        "name = \"payments\"\n",
        "name = \"payments\"\nstate = \"off\"\n",
    );
    proxy.setup.edit("state = \"enabled\"\n", "");
    proxy.setup.edit("level = \"info\"", "level = \"debug\"");
    proxy.setup.replace();
    proxy.await_reload("refused", 0.0);
    assert_eq!(successful(&proxy), Some(0.0));
    serves(&proxy);
    proxy.daemon.wait_for("the fault", |line| {
        let fault = line["fault"].as_str().unwrap_or_default();
        fault.contains("key_store[0].state") && fault.contains("\"enabled\" or \"disabled\"")
    });
    proxy
        .daemon
        .wait_for("that nothing was changed", |line| line["faults"] == 1);
    assert!(proxy.changes().is_empty());
    let rejected = proxy.reloads("refused");
    proxy.setup.write_private("config.toml", &good);
    // The file matches the active configuration again: the proxy reads it and changes nothing.
    proxy.await_reload("unchanged", 0.0);
    assert_eq!(
        (successful(&proxy), proxy.reloads("refused")),
        (Some(1.0), rejected)
    );
}

#[test]
fn files_that_are_gone_or_not_toml_change_nothing() {
    let proxy = Proxy::start();
    let config = proxy.setup.directory.join("config.toml");
    let good = fs::read_to_string(&config).unwrap();
    let mut rejected = 0.0;
    let mut expect_rejection = |what: &str| {
        proxy.await_reload("refused", rejected);
        rejected = proxy.reloads("refused");
        proxy.daemon.wait_for(what, |line| {
            line["fault"]
                .as_str()
                .is_some_and(|fault| fault.contains(what))
        });
        serves(&proxy);
    };
    fs::remove_file(&config).unwrap();
    expect_rejection("cannot read");
    fs::write(&config, &good[..good.find("[[key_store]]").unwrap()]).unwrap();
    expect_rejection("key_store: is missing");
    fs::write(&config, [0xff, 0xfe, 0x00]).unwrap();
    expect_rejection("invalid utf-8");
    let secret = proxy.setup.directory.join(PAYMENTS.access_key_id);
    fs::write(&config, &good).unwrap();
    proxy.await_reload("unchanged", 0.0);
    fs::write(&secret, "").unwrap();
    expect_rejection("the secret is empty");
    fs::remove_file(&secret).unwrap();
    expect_rejection("cannot read");
    write_private(&secret, PAYMENTS.secret);
    proxy.await_reload("unchanged", 1.0);
    serves(&proxy);
}

#[test]
fn changes_that_need_a_restart_are_named_and_the_rest_is_applied() {
    let mut proxy = Proxy::start();
    proxy.reconfigure(|setup| {
        setup.set("server", "listen", "[\"127.0.0.1:1\"]");
        setup.set("admin", "listen", "\"127.0.0.1:2\"");
        setup.set("log", "format", "\"text\"");
        setup.set("server.limits", "max_body", "\"32KiB\"");
        setup.set("hsm", "module", "\"/nowhere/libnothing.so\"");
        setup.set("hsm", "sessions", "2");
    });
    for place in ["server.listen", "admin.listen", "log.format"] {
        proxy.daemon.wait_for(place, |line| {
            let message = line["message"].as_str().unwrap_or_default();
            line["place"] == place && message.contains("restart")
        });
    }
    proxy
        .daemon
        .wait_for("the module that is not there", |line| {
            line["message"]
                == "the HSM cannot be opened with its new settings; the old ones stay active"
        });
    serves(&proxy);
    let long = vec![0; 30 * 1024];
    let response = proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(&long));
    response.assert_error(501, "UnsupportedOperationException");
    let sessions = proxy.metric("xks_hsm_sessions", &[("hsm", "hsm-a")]);
    assert_eq!(
        sessions,
        Some(5.0),
        "the HSM stays as it is while it does not open with the new settings"
    );
}

#[test]
fn a_reload_during_a_drain_is_not_applied() {
    let mut proxy = Proxy::start_with(|setup| {
        setup.set("server", "grace_period", "\"60s\"");
        setup.set("server.limits", "request_timeout", "\"60s\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    // A request that has begun keeps the drain going.
    let body = encrypt_body(b"x").to_string();
    let request = payments.request("encrypt", "orders", body.clone());
    let length = body.len().to_string();
    let head = request.with("content-length", &length).head();
    let mut connection = proxy.connect();
    connection.send(&head).unwrap();
    connection.send(&body.as_bytes()[..10]).unwrap();
    eventually("the request being worked on", || {
        proxy
            .metric("xks_unverified_requests", &[])
            .filter(|n| *n == 1.0)
    });
    proxy.daemon.signal(Signal::TERM);
    proxy.await_unready();
    proxy
        .setup
        .edit("name = \"payments\"\n", "name = \"payments\"\nweight = 2\n");
    proxy.setup.replace();
    proxy.daemon.signal(Signal::HUP);
    proxy.daemon.wait_for("configuration not applied", |line| {
        line["message"] == "configuration not applied; the proxy is stopping"
    });
    connection.send(&body.as_bytes()[10..]).unwrap();
    connection.response().expect("an answer").ok();
    assert!(proxy.daemon.wait().success());
    assert!(proxy.changes().is_empty(), "{:?}", proxy.changes());
}

/// Encrypts and decrypts on new connections until `stop` is set. Every request must succeed. Returns the number of round trips.
fn load(proxy: &Proxy, stop: &AtomicBool) -> usize {
    let payments = proxy.caller(&PAYMENTS);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = proxy.connect();
        for _ in 0..4 {
            let body = encrypt_body(b"kept").to_string();
            let encrypted = connection
                .exchange(&payments.request("encrypt", "orders", body))
                .ok();
            let body = decrypt_body(&encrypted).to_string();
            let opened = connection
                .exchange(&payments.request("decrypt", "orders", body))
                .ok();
            assert_eq!(bytes(&opened, "plaintext"), b"kept");
            done += 1;
        }
    }
    done
}

#[test]
fn no_request_is_lost_while_the_configuration_changes_all_the_time() {
    let proxy = Proxy::start();
    let (stop, mut applied) = (AtomicBool::new(false), 0.0);
    let texts: Vec<String> = (2..=3)
        .map(|n| {
            proxy.setup.toml().replacen(
                "state = \"enabled\"",
                &format!("state = \"enabled\"\nweight = {n}"),
                1,
            )
        })
        .collect();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| load(&proxy, &stop)))
            .collect();
        let _stop = Stop(&stop);
        for n in 0..30 {
            proxy.setup.replace_by(&texts[n % 2]);
            proxy.daemon.signal(Signal::HUP);
            proxy.await_reload("applied", applied);
            applied = proxy.reloads("applied");
        }
        stop.store(true, Ordering::Relaxed);
        let done: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert!(done > 50, "only {done}");
    });
    assert!(applied >= 30.0, "{applied}");
}

#[test]
fn a_thousand_keys_come_and_go() {
    let mut proxy = Proxy::start();
    let keys: String = (0..1_000)
        .map(|n| format!("[[key_store.key]]\nid = \"bulk-{n}\"\nlabel = \"no-such-label-{n}\"\n"))
        .collect();
    let with_keys = format!("{}{keys}", "[[key_store.key]]\nid = \"orders\"\n");
    proxy.reconfigure(|setup| setup.edit("[[key_store.key]]\nid = \"orders\"\n", &with_keys));
    let payments = proxy.caller(&PAYMENTS);
    payments
        .call("encrypt", "bulk-999", &encrypt_body(b"x"))
        .assert_error(404, "KeyNotFoundException");
    payments.encrypt("orders", b"x");
    assert!(proxy.has_changed("key_store.payments.key.bulk-0", "added"));
    proxy.reconfigure(|setup| setup.edit(&keys, ""));
    assert!(proxy.has_changed("key_store.payments.key.bulk-999", "removed"));
    proxy.caller(&PAYMENTS).encrypt("orders", b"x");
}

#[test]
fn a_secret_that_becomes_readable_for_everybody_changes_nothing() {
    let proxy = Proxy::start();
    let secret = proxy.setup.directory.join(PAYMENTS.access_key_id);
    let set_mode = |mode| fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o644);
    proxy.await_reload("refused", 0.0);
    proxy.daemon.wait_for("who can read it", |line| {
        let fault = line["fault"].as_str().unwrap_or_default();
        fault.contains("secret: everybody can read") && fault.contains("(mode 0644)")
    });
    serves(&proxy);
    set_mode(0o640);
    proxy.await_reload("unchanged", 0.0);
}

#[test]
fn warnings_are_logged_at_the_start_and_at_every_reload() {
    let mut proxy = Proxy::start_with(|setup| {
        setup.edit("region = \"us-east-1\"", "region = \"us-east-1a\"");
    });
    let is_warning = |line: &Value, part: &str| {
        line["level"] == "WARN"
            && line["message"] == "configuration"
            && line["warning"]
                .as_str()
                .is_some_and(|said| said.contains(part))
    };
    let zone = "region: \"us-east-1a\" is an availability zone";
    proxy.daemon.wait_for(zone, |line| is_warning(line, zone));
    let warnings = |proxy: &Proxy| {
        let lines = proxy.daemon.log();
        let parsed = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok());
        parsed.filter(|line| is_warning(line, zone)).count()
    };
    assert_eq!(warnings(&proxy), 1);
    proxy.daemon.signal(Signal::HUP);
    proxy.await_reload("unchanged", 0.0);
    eventually("the warning again", || {
        (warnings(&proxy) == 2).then_some(())
    });
    proxy.reconfigure(|setup| setup.edit("\"us-east-1a\"", "\"us-east-1\""));
    assert_eq!(warnings(&proxy), 2);
}
