//! Certificates that KMS would not accept: what check-config, the start and a reload do with each.

use std::fs;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ALL_VERSIONS;
use serde_json::Value;
use time::OffsetDateTime;

use crate::commands::command_line::run;
use crate::harness::pki::{Authority, Identity, tls_client};
use crate::harness::setup::Setup;
use crate::harness::wire::plain_body;
use crate::harness::{PAYMENTS, Proxy};

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate for localhost, changed.
fn changed(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = OffsetDateTime::now_utc() - DAY;
    params.not_after = OffsetDateTime::now_utc() + 30 * DAY;
    change(&mut params);
    authority.issue(&params, KeyPair::generate().unwrap())
}

fn good(authority: &Authority) -> Identity {
    changed(authority, |_| {})
}

/// Each problem with which a certificate can be served, and a certificate that has it.
fn problems(authority: &Authority) -> Vec<(&'static str, Identity)> {
    let mut of_another = good(authority);
    of_another.certificate_pem += &Authority::new("Somebody Else").pem();
    vec![
        (
            "expired",
            changed(authority, |params| {
                params.not_after = OffsetDateTime::now_utc() - DAY / 2;
            }),
        ),
        (
            "not_yet_valid",
            changed(authority, |params| {
                params.not_before = OffsetDateTime::now_utc() + DAY;
            }),
        ),
        ("chain", of_another),
        (
            "common_name",
            changed(authority, |params| {
                params
                    .distinguished_name
                    .push(DnType::CommonName, "elsewhere");
            }),
        ),
        (
            "common_name",
            changed(authority, |params| {
                params.distinguished_name = rcgen::DistinguishedName::new();
            }),
        ),
        (
            "extended_key_usage",
            changed(authority, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
        ),
    ]
}

fn problem(proxy: &Proxy, problem: &str) -> Option<f64> {
    proxy.metric("xks_tls_certificate_problem", &[("problem", problem)])
}

#[test]
fn check_config_calls_each_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    for (what, identity) in problems(&setup.authority) {
        setup.server_identity(&identity);
        let file = setup.write();
        let file = file.to_str().unwrap();
        let (code, _, stderr) = run(&["check-config", "--config", file]);
        assert_eq!(code, Some(78), "{what}: {stderr}");
        assert!(stderr.contains("server.tls.certificate: "), "{stderr}");
        let (code, stdout, _) = run(&["check-config", "--json", "--config", file]);
        let report: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, &report["ok"]), (Some(78), &Value::Bool(false)));
    }
    let identity = good(&setup.authority);
    setup.server_identity(&identity);
    let file = setup.write();
    let (code, _, stderr) = run(&["check-config", "--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("not in AWS's list of trusted CAs"),
        "a warning: {stderr}"
    );
}

#[test]
fn check_config_warns_of_a_lifetime_that_no_public_ca_may_give() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let identity = changed(&setup.authority, |params| {
        params.not_after = params.not_before + 399 * DAY;
    });
    setup.server_identity(&identity);
    let file = setup.write();
    let (code, _, stderr) = run(&["check-config", "--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("is valid for 399 days"), "{stderr}");
}

#[test]
fn an_expired_client_ca_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    setup.require_client_certificates();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = OffsetDateTime::now_utc() - DAY;
    let expired = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    setup.write_private("client-ca.pem", &expired.pem());
    let file = setup.write();
    let (code, _, stderr) = run(&["check-config", "--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("server.tls.client_auth.ca: the client CA")
            && stderr.contains("has expired"),
        "{stderr}"
    );
}

#[test]
fn a_start_serves_with_an_error_in_the_log_and_a_metric() {
    let directory = tempfile::tempdir().unwrap();
    let all = problems(&Setup::new(directory.path()).authority);
    for (what, identity) in all {
        let proxy = Proxy::start_with(|setup| setup.server_identity(&identity));
        let line = proxy.daemon.wait_for("the problem", |line| {
            let told = line["problem"].as_str().unwrap_or_default();
            line["level"] == "ERROR" && told.contains("server.tls.certificate")
        });
        assert_eq!(problem(&proxy, what), Some(1.0), "{line}");
        assert_eq!(proxy.admin("/readyz").status, 200);
        assert_eq!(
            proxy.metric("xks_certificate_reload_failures_total", &[]),
            Some(0.0)
        );
    }
}

/// The serial number of the certificate that is served.
fn served(proxy: &Proxy) -> Vec<u8> {
    let connection = proxy.connect();
    connection.tls().peer_certificates().unwrap()[0].to_vec()
}

/// Puts certificate and key into the places of those that serve, by two renames.
fn replace(proxy: &Proxy, identity: &Identity) {
    replace_one(proxy, "server.pem", &identity.certificate_pem);
    replace_one(proxy, "server.key", &identity.key_pem);
}

fn replace_one(proxy: &Proxy, name: &str, text: &str) {
    let new = proxy.setup.write_private("new", text);
    fs::rename(new, proxy.setup.directory.join(name)).unwrap();
}

fn failures(proxy: &Proxy, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    proxy
        .metric("xks_certificate_reload_failures_total", &labels)
        .unwrap()
}

#[test]
fn a_reload_keeps_the_certificate_that_serves() {
    let proxy = Proxy::start_with(|setup| {
        let identity = good(&setup.authority);
        setup.server_identity(&identity);
    });
    let first = served(&proxy);
    for (what, identity) in problems(&proxy.setup.authority) {
        let before = failures(&proxy, what);
        replace(&proxy, &identity);
        proxy.await_metric(
            "xks_certificate_reload_failures_total",
            &[("reason", what)],
            |count| count > before || before > 0.0,
        );
        proxy.daemon.wait_for(what, |line| {
            line["level"] == "ERROR" && line["reason"] == what && line["fault"].is_string()
        });
        let labels = [("setting", "server.tls.certificate"), ("reason", what)];
        assert_eq!(proxy.metric("xks_reload_not_applied", &labels), Some(1.0));
        assert_eq!(served(&proxy), first, "{what}");
        assert_eq!(problem(&proxy, what), Some(0.0), "of the one that serves");
        assert_eq!(proxy.admin("/readyz").status, 200);
        assert_eq!(
            proxy.metric("xks_config_last_reload_successful", &[]),
            Some(1.0)
        );
    }
    let renewed = good(&proxy.setup.authority);
    replace(&proxy, &renewed);
    proxy.daemon.wait_for("the renewed one", |line| {
        line["message"] == "the certificate in the files is active"
    });
    assert_eq!(served(&proxy), renewed.certificate.to_vec());
    assert_eq!(proxy.metric("xks_reload_not_applied", &[]), None);
}

#[test]
fn what_else_changes_takes_effect_beside_a_refused_certificate() {
    let mut proxy = Proxy::start();
    let first = served(&proxy);
    let expired = proxy.setup.authority.expired_server();
    let body = plain_body("health");
    proxy.reconfigure(|setup| {
        setup.server_identity(&expired);
        setup.edit("state = \"enabled\"\n", "state = \"disabled\"\n");
    });
    let response = proxy.caller(&PAYMENTS).call("health", "", &body);
    response.assert_error(400, "InvalidStateException");
    assert_eq!(failures(&proxy, "expired"), 1.0);
    assert_eq!(served(&proxy), first);
    // Whom the proxy trusts changes as well, with the old certificate.
    proxy.reconfigure(Setup::require_client_certificates);
    let kms = proxy
        .setup
        .client_authority
        .client(crate::harness::pki::KMS_SUBJECT);
    let root = proxy.setup.authority.der();
    proxy.client = tls_client(root, ALL_VERSIONS, Some(&kms), &["http/1.1"]);
    assert_eq!(served(&proxy), first);
}

#[test]
fn half_a_pair_is_neither_taken_nor_told_of() {
    let proxy = Proxy::start();
    let first = served(&proxy);
    for order in [["server.pem", "server.key"], ["server.key", "server.pem"]] {
        let renewed = proxy.setup.authority.server(KeyPair::generate().unwrap());
        let seen = proxy.reloads("unchanged");
        let of = |name| match name {
            "server.pem" => &renewed.certificate_pem,
            _ => &renewed.key_pem,
        };
        replace_one(&proxy, order[0], of(order[0]));
        // The proxy has seen the first file alone.
        proxy.await_reload("unchanged", seen);
        let applied = proxy.reloads("applied");
        replace_one(&proxy, order[1], of(order[1]));
        proxy.await_reload("applied", applied);
        assert_eq!(served(&proxy), renewed.certificate.to_vec());
    }
    assert_ne!(served(&proxy), first);
    assert_eq!(failures(&proxy, "key_mismatch"), 0.0);
    assert_eq!(proxy.reloads("refused"), 0.0);
    let log = proxy.daemon.log();
    let errors = log
        .iter()
        .filter(|line| line.contains("\"level\":\"ERROR\""));
    assert_eq!(errors.count(), 0, "{log:?}");
}

#[test]
fn a_pair_that_stays_half_is_refused_and_unreadable_ones_too() {
    let proxy = Proxy::start();
    let first = served(&proxy);
    let renewed = proxy.setup.authority.server(KeyPair::generate().unwrap());
    let refused = |reason: &str| {
        proxy.await_metric(
            "xks_certificate_reload_failures_total",
            &[("reason", reason)],
            |count| count == 1.0,
        );
        assert_eq!(served(&proxy), first);
        proxy.caller(&PAYMENTS).health();
    };
    replace_one(&proxy, "server.pem", &renewed.certificate_pem);
    refused("key_mismatch");
    replace_one(&proxy, "server.pem", "nothing of the kind");
    refused("invalid");
    fs::remove_file(proxy.setup.directory.join("server.key")).unwrap();
    refused("unreadable");
    assert_eq!(
        proxy.reloads("refused"),
        0.0,
        "no fault of the configuration"
    );
}

#[test]
fn a_start_without_a_usable_pair_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let other = setup.authority.server(KeyPair::generate().unwrap());
    let write = |setup: &Setup, name: &str, text: &str| drop(setup.write_private(name, text));
    let identity = good(&setup.authority);
    setup.server_identity(&identity);
    let file = setup.write();
    for (name, text, said) in [
        (
            "server.key",
            other.key_pem.as_str(),
            "is not the key of the certificate",
        ),
        ("server.key", "nothing", "holds no PEM private key"),
        ("server.pem", "nothing", "holds no PEM certificate"),
    ] {
        write(&setup, name, text);
        for command in ["serve", "check-config"] {
            let (code, _, stderr) = run(&[command, "--config", file.to_str().unwrap()]);
            assert_eq!(code, Some(78), "{stderr}");
            assert!(stderr.contains(said), "{stderr}");
        }
    }
}
