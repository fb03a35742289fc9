//! `server.public_names`: the common name of the certificate must cover each name that KMS calls.

use super::{replace_identity, served_certificate};
use crate::commands::command_line::run;
use crate::harness::Proxy;
use crate::harness::setup::Setup;

const NAMES: &str = "[\"xks.example.com\"]";

fn check(setup: &Setup) -> (Option<i32>, String) {
    let file = setup.write();
    let (code, _, stderr) = run(&["check-config", "--config", file.to_str().unwrap()]);
    (code, stderr)
}

fn problem(proxy: &Proxy) -> Option<f64> {
    proxy.metric(
        "xks_tls_certificate_problem",
        &[("problem", "public_names")],
    )
}

#[test]
fn check_config_compares_the_names_with_the_common_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    setup.set("server", "public_names", "[\"localhost\"]");
    assert_eq!(check(&setup).0, Some(0));
    setup.set(
        "server",
        "public_names",
        "[\"localhost\", \"xks.example.com\"]",
    );
    let (code, stderr) = check(&setup);
    assert_eq!(code, Some(78), "{stderr}");
    assert!(
        stderr.contains("server.tls.certificate: has the common name (CN) \"localhost\", which does not cover xks.example.com"),
        "{stderr}"
    );
    let wildcard = setup.authority.server_for(&["*.example.com"]);
    setup.server_identity(&wildcard);
    setup.set("server", "public_names", NAMES);
    assert_eq!(check(&setup).0, Some(0), "a wildcard covers one label");
    setup.set("server", "public_names", "[\"https://xks.example.com\"]");
    let (code, stderr) = check(&setup);
    assert_eq!(code, Some(78));
    assert!(stderr.contains("is not a host name"), "{stderr}");
}

#[test]
fn the_start_serves_a_wrong_certificate_and_a_reload_rejects_it() {
    let proxy = Proxy::start_with(|setup| setup.set("server", "public_names", NAMES));
    proxy.daemon.wait_for("the problem", |line| {
        let text = line["problem"].as_str().unwrap_or_default();
        line["level"] == "ERROR" && text.contains("does not cover xks.example.com")
    });
    assert_eq!(problem(&proxy), Some(1.0));
    assert_eq!(proxy.admin("/readyz").status, 200);
    let good = proxy
        .setup
        .authority
        .server_for(&["xks.example.com", "localhost"]);
    replace_identity(&proxy, &good);
    proxy.await_metric(
        "xks_tls_certificate_problem",
        &[("problem", "public_names")],
        |value| value == 0.0,
    );
    assert_eq!(served_certificate(&proxy), good.certificate.to_vec());
    // KMS does not call localhost, so with this certificate KMS could not connect.
    let wrong = proxy.setup.authority.server_for(&["localhost"]);
    replace_identity(&proxy, &wrong);
    let labels = [("reason", "public_names")];
    proxy.await_metric("xks_certificate_reload_failures_total", &labels, |count| {
        count == 1.0
    });
    assert_eq!(served_certificate(&proxy), good.certificate.to_vec());
    assert_eq!(proxy.admin("/readyz").status, 200);
}

#[test]
fn a_reload_changes_the_names() {
    let mut proxy = Proxy::start_with(|setup| setup.set("server", "public_names", NAMES));
    proxy.reconfigure(|setup| setup.set("server", "public_names", "[\"localhost\"]"));
    assert!(proxy.has_changed("server.public_names", "changed"));
    assert_eq!(problem(&proxy), Some(0.0));
}
