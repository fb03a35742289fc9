//! The certificate is renewed repeatedly while requests run: by the deploy hooks of `deploy/certificates`, and by two renames.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rcgen::KeyPair;

use super::{replace_file, served_certificate};
use crate::harness::http::Connection;
use crate::harness::load::Stop;
use crate::harness::metrics::eventually;
use crate::harness::pki::{Authority, Identity};
use crate::harness::setup::{Setup, write_private};
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

const RENEWALS: usize = 20;

const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/certificates");

/// The number of requests that must succeed between two renewals.
const REQUESTS: usize = 20;

/// Requests on new and on existing connections.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Sends requests until the load is over. With `keeps_connection`, all requests use one connection, as those of KMS do.
    fn run(&self, proxy: &Proxy, keeps_connection: bool) {
        let mut kept: Option<Connection> = None;
        while !self.is_over.load(Ordering::Relaxed) {
            let connection = match kept.take() {
                Some(connection) => Ok(connection),
                None => proxy.try_connect(),
            };
            match connection
                .map_err(|error| error.to_string())
                .and_then(|c| call(proxy, c))
            {
                Ok(connection) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    kept = Some(connection).filter(|_| keeps_connection);
                }
                Err(failure) => self.failures.lock().unwrap().push(failure),
            }
        }
    }

    fn await_more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("requests under this certificate", || {
            let answered = self.answered.load(Ordering::Relaxed);
            let has_failed = !self.failures.lock().unwrap().is_empty();
            (has_failed || answered >= before + REQUESTS).then_some(())
        });
    }
}

fn call(proxy: &Proxy, mut connection: Connection) -> Result<Connection, String> {
    let body = encrypt_body(b"x").to_string();
    let request = proxy.caller(&PAYMENTS).request("encrypt", "orders", body);
    let sent = connection.send(&request.bytes());
    sent.map_err(|error| format!("sending: {error}"))?;
    match connection.try_response() {
        Ok(Some(response)) if response.status == 200 => Ok(connection),
        Ok(Some(response)) => Err(format!("status {}", response.status)),
        Ok(None) => Err("closed without a response".to_owned()),
        Err(error) => Err(format!("receiving: {error}")),
    }
}

fn new_identity(authority: &Authority) -> Identity {
    authority.server(KeyPair::generate().unwrap())
}

/// Renews [`RENEWALS`] times under load. No request may fail, and no error may be logged.
fn renew_under_load(proxy: &Proxy, renew: impl Fn(usize, &Identity)) {
    let load = Load::default();
    thread::scope(|scope| {
        let stop = Stop(&load.is_over);
        for keeps_connection in [false, false, true] {
            let load = &load;
            scope.spawn(move || load.run(proxy, keeps_connection));
        }
        for number in 0..RENEWALS {
            let identity = new_identity(&proxy.setup.authority);
            renew(number, &identity);
            eventually("the new certificate", || {
                (served_certificate(proxy) == *identity.certificate).then_some(())
            });
            load.await_more();
        }
        drop(stop);
    });
    let failures = load.failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    assert!(load.answered.into_inner() >= RENEWALS * REQUESTS);
    let failed = proxy.metric("xks_certificate_reload_failures_total", &[]);
    assert_eq!((failed, proxy.reloads("refused")), (Some(0.0), 0.0));
    let log = proxy.daemon.log();
    let errors: Vec<_> = log
        .iter()
        .filter(|line| line.contains("\"level\":\"ERROR\""))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// Runs a deploy hook with the environment of its ACME client.
fn hook(directory: &Path, client: &str, identity: &Identity) -> Output {
    let lineage = directory.join("lineage");
    fs::create_dir_all(&lineage).unwrap();
    let (chain, key) = (lineage.join("fullchain.pem"), lineage.join("privkey.pem"));
    write_private(&chain, &identity.certificate_pem);
    write_private(&key, &identity.key_pem);
    let mut command = Command::new(format!("{HOOKS}/{client}-deploy-hook"));
    match client {
        "certbot" => command.env("RENEWED_LINEAGE", &lineage),
        _ => command
            .env("LEGO_HOOK_CERT_PATH", chain)
            .env("LEGO_HOOK_CERT_KEY_PATH", key),
    };
    let group = rustix::process::getegid().as_raw().to_string();
    command
        .env("XKS_TLS_DIRECTORY", directory.join("tls"))
        .env("XKS_TLS_GROUP", group)
        .output()
        .unwrap()
}

#[track_caller]
fn install(directory: &Path, client: &str, identity: &Identity) {
    let output = hook(directory, client, identity);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{client}: {stderr}");
}

/// Sets the paths of the runbook: the configuration names the files through the link `current`.
fn with_hooks(setup: &mut Setup) {
    fs::create_dir(setup.directory.join("tls")).unwrap();
    let identity = new_identity(&setup.authority);
    install(&setup.directory, "certbot", &identity);
    let current = setup.directory.join("tls/current");
    setup.set_path("server.tls", "certificate", &current.join("server.pem"));
    setup.set_path("server.tls", "private_key", &current.join("server.key"));
}

#[test]
fn the_deploy_hooks_renew_under_load_without_a_failed_request() {
    let proxy = Proxy::start_with(with_hooks);
    renew_under_load(&proxy, |number, identity| {
        let client = ["certbot", "lego"][number % 2];
        install(&proxy.setup.directory, client, identity);
    });
    let kept = fs::read_dir(proxy.setup.directory.join("tls")).unwrap();
    assert_eq!(kept.count(), 3, "the link, this pair and the previous one");
}

#[test]
fn two_renames_renew_under_load_without_a_failed_request() {
    let proxy = Proxy::start();
    renew_under_load(&proxy, |number, identity| {
        let mut files = [
            ("server.pem", &identity.certificate_pem),
            ("server.key", &identity.key_pem),
        ];
        if number % 2 == 1 {
            files.reverse();
        }
        let unchanged = proxy.reloads("unchanged");
        let [(first, first_text), (second, second_text)] = files;
        replace_file(&proxy, first, first_text);
        if number < 4 {
            // The proxy has read one new file of the pair.
            proxy.await_reload("unchanged", unchanged);
        }
        replace_file(&proxy, second, second_text);
    });
}

#[test]
fn a_hook_changes_nothing_when_certificate_or_key_is_not_usable() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::create_dir(directory.join("tls")).unwrap();
    let authority = Authority::new("Test Server CA");
    install(directory, "lego", &new_identity(&authority));
    let current = || fs::read_link(directory.join("tls/current")).unwrap();
    let before = current();
    let mut mismatched = new_identity(&authority);
    mismatched.key_pem = new_identity(&authority).key_pem;
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let nameless = authority.issue(&params, KeyPair::generate().unwrap());
    for (identity, problem) in [
        (mismatched, "is not the key of"),
        (nameless, "has no common name"),
    ] {
        for client in ["certbot", "lego"] {
            let output = hook(directory, client, &identity);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(
                stderr.contains(problem) && stderr.contains("nothing was changed"),
                "{stderr}"
            );
            assert_eq!(current(), before);
        }
    }
    let left = fs::read_dir(directory.join("tls")).unwrap().count();
    assert_eq!(left, 2, "the link and its pair");
}
