//! Certificates that KMS would reject: how check-config, the start and a reload handle each of them.

use std::fs;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ALL_VERSIONS;
use serde_json::Value;
use time::OffsetDateTime;

use super::{replace_file, replace_identity, served_certificate};
use crate::commands::command_line::run;
use crate::harness::pki::{Authority, Identity, tls_client};
use crate::harness::setup::Setup;
use crate::harness::wire::plain_body;
use crate::harness::{PAYMENTS, Proxy};

const DAY: Duration = Duration::from_secs(86_400);

/// Issues a certificate for localhost with these changes.
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

/// Returns each problem with which a certificate can still be served, and a certificate that has it.
fn problems(authority: &Authority) -> Vec<(&'static str, Identity)> {
    let mut with_wrong_ca = good(authority);
    with_wrong_ca.certificate_pem += &Authority::new("Somebody Else").pem();
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
        ("chain", with_wrong_ca),
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
fn check_config_reports_each_problem_as_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    for (problem, identity) in problems(&setup.authority) {
        setup.server_identity(&identity);
        let file = setup.write();
        let file = file.to_str().unwrap();
        let (code, _, stderr) = run(&["check-config", "--config", file]);
        assert_eq!(code, Some(78), "{problem}: {stderr}");
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
fn check_config_warns_of_a_lifetime_longer_than_public_cas_may_issue() {
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
fn the_start_serves_a_certificate_with_a_problem_and_reports_it() {
    let directory = tempfile::tempdir().unwrap();
    let all = problems(&Setup::new(directory.path()).authority);
    for (kind, identity) in all {
        let proxy = Proxy::start_with(|setup| setup.server_identity(&identity));
        let line = proxy.daemon.wait_for("the problem", |line| {
            let text = line["problem"].as_str().unwrap_or_default();
            line["level"] == "ERROR" && text.contains("server.tls.certificate")
        });
        assert_eq!(problem(&proxy, kind), Some(1.0), "{line}");
        assert_eq!(proxy.admin("/readyz").status, 200);
        assert_eq!(
            proxy.metric("xks_certificate_reload_failures_total", &[]),
            Some(0.0)
        );
    }
}

fn failures(proxy: &Proxy, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    proxy
        .metric("xks_certificate_reload_failures_total", &labels)
        .unwrap()
}

#[test]
fn a_reload_rejects_a_certificate_with_a_problem() {
    let proxy = Proxy::start_with(|setup| {
        let identity = good(&setup.authority);
        setup.server_identity(&identity);
    });
    let first = served_certificate(&proxy);
    for (kind, identity) in problems(&proxy.setup.authority) {
        let before = failures(&proxy, kind);
        replace_identity(&proxy, &identity);
        proxy.await_metric(
            "xks_certificate_reload_failures_total",
            &[("reason", kind)],
            |count| count > before || before > 0.0,
        );
        proxy.daemon.wait_for(kind, |line| {
            line["level"] == "ERROR" && line["reason"] == kind && line["fault"].is_string()
        });
        let labels = [("setting", "server.tls.certificate"), ("reason", kind)];
        assert_eq!(proxy.metric("xks_reload_not_applied", &labels), Some(1.0));
        assert_eq!(served_certificate(&proxy), first, "{kind}");
        assert_eq!(
            problem(&proxy, kind),
            Some(0.0),
            "of the active certificate"
        );
        assert_eq!(proxy.admin("/readyz").status, 200);
        assert_eq!(
            proxy.metric("xks_config_last_reload_successful", &[]),
            Some(1.0)
        );
    }
    let renewed = good(&proxy.setup.authority);
    replace_identity(&proxy, &renewed);
    proxy.daemon.wait_for("the renewed certificate", |line| {
        line["message"] == "the certificate in the files is active"
    });
    assert_eq!(served_certificate(&proxy), renewed.certificate.to_vec());
    assert_eq!(proxy.metric("xks_reload_not_applied", &[]), None);
}

#[test]
fn other_changes_take_effect_although_the_certificate_is_rejected() {
    let mut proxy = Proxy::start();
    let first = served_certificate(&proxy);
    let expired = proxy.setup.authority.expired_server();
    let body = plain_body("health");
    proxy.reconfigure(|setup| {
        setup.server_identity(&expired);
        setup.edit("state = \"enabled\"\n", "state = \"disabled\"\n");
    });
    let response = proxy.caller(&PAYMENTS).call("health", "", &body);
    response.assert_error(400, "InvalidStateException");
    assert_eq!(failures(&proxy, "expired"), 1.0);
    assert_eq!(served_certificate(&proxy), first);
    // The client CA changes too, while the old certificate stays active.
    proxy.reconfigure(Setup::require_client_certificates);
    let kms = proxy
        .setup
        .client_authority
        .client(crate::harness::pki::KMS_SUBJECT);
    let root = proxy.setup.authority.der();
    proxy.client = tls_client(root, ALL_VERSIONS, Some(&kms), &["http/1.1"]);
    assert_eq!(served_certificate(&proxy), first);
}

#[test]
fn one_new_file_of_a_pair_is_neither_used_nor_reported() {
    let proxy = Proxy::start();
    let first = served_certificate(&proxy);
    for order in [["server.pem", "server.key"], ["server.key", "server.pem"]] {
        let renewed = proxy.setup.authority.server(KeyPair::generate().unwrap());
        let unchanged = proxy.reloads("unchanged");
        let text = |name| match name {
            "server.pem" => &renewed.certificate_pem,
            _ => &renewed.key_pem,
        };
        replace_file(&proxy, order[0], text(order[0]));
        // The proxy has read the first new file without the second one.
        proxy.await_reload("unchanged", unchanged);
        let applied = proxy.reloads("applied");
        replace_file(&proxy, order[1], text(order[1]));
        proxy.await_reload("applied", applied);
        assert_eq!(served_certificate(&proxy), renewed.certificate.to_vec());
    }
    assert_ne!(served_certificate(&proxy), first);
    assert_eq!(failures(&proxy, "key_mismatch"), 0.0);
    assert_eq!(proxy.reloads("refused"), 0.0);
    let log = proxy.daemon.log();
    let errors = log
        .iter()
        .filter(|line| line.contains("\"level\":\"ERROR\""));
    assert_eq!(errors.count(), 0, "{log:?}");
}

#[test]
fn a_pair_that_stays_incomplete_and_unreadable_files_are_rejected() {
    let proxy = Proxy::start();
    let first = served_certificate(&proxy);
    let renewed = proxy.setup.authority.server(KeyPair::generate().unwrap());
    let assert_rejected = |reason: &str| {
        proxy.await_metric(
            "xks_certificate_reload_failures_total",
            &[("reason", reason)],
            |count| count == 1.0,
        );
        assert_eq!(served_certificate(&proxy), first);
        proxy.caller(&PAYMENTS).health();
    };
    replace_file(&proxy, "server.pem", &renewed.certificate_pem);
    assert_rejected("key_mismatch");
    replace_file(&proxy, "server.pem", "not a certificate");
    assert_rejected("invalid");
    fs::remove_file(proxy.setup.directory.join("server.key")).unwrap();
    assert_rejected("unreadable");
    assert_eq!(
        proxy.reloads("refused"),
        0.0,
        "the configuration has no error"
    );
}

#[test]
fn the_start_fails_without_a_usable_certificate_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let other = setup.authority.server(KeyPair::generate().unwrap());
    let write = |setup: &Setup, name: &str, text: &str| drop(setup.write_private(name, text));
    let identity = good(&setup.authority);
    setup.server_identity(&identity);
    let file = setup.write();
    for (name, text, problem) in [
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
            assert!(stderr.contains(problem), "{stderr}");
        }
    }
}
