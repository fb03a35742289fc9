//! `xks-proxy probe`: it reports valid settings as valid, and finds each problem, with an action for the operator.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use serde_json::Value;

use crate::harness::control::Function;
use crate::harness::metrics::eventually;
use crate::harness::outage::faulty;
use crate::harness::pki::{Authority, Identity, KMS_SUBJECT};
use crate::harness::setup::Setup;
use crate::harness::target::{Nobody, command, options, with};
use crate::harness::{PAYMENTS, PAYMENTS_NEXT, Proxy};

/// Runs the probe, and returns its exit code and its checks.
#[track_caller]
fn probe(options: &[String], more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let more = [&["--json", "--samples", "3"], more].concat();
    let (code, stdout, stderr) = command("probe", options, &more);
    assert!(
        !stdout.contains(PAYMENTS.secret) && !stderr.contains(PAYMENTS.secret),
        "the secret is shown"
    );
    let report: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{code:?} {stdout}{stderr}"));
    assert_eq!(report["ready"], code == Some(0));
    (code, report["checks"].as_array().unwrap().clone())
}

#[track_caller]
fn check<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name}: {checks:#?}"))
}

fn failed(checks: &[Value]) -> Vec<&str> {
    let failed = checks.iter().filter(|check| check["result"] == "fail");
    failed
        .map(|check| check["name"].as_str().unwrap())
        .collect()
}

/// The checks of latency.
const LATENCIES: [&str; 3] = ["metadata", "encrypt", "decrypt"];

/// Repeats the probe until no latency is too high, except those in `slow`: other work on the machine can slow it down.
#[track_caller]
fn probe_in_time(options: &[String], more: &[&str], slow: &[&str]) -> (Option<i32>, Vec<Value>) {
    eventually("a probe without high latencies", || {
        let (code, checks) = probe(options, more);
        let is_late = |name: &&str| LATENCIES.contains(name) && !slow.contains(name);
        let is_in_time = !failed(&checks).iter().any(is_late);
        is_in_time.then_some((code, checks))
    })
}

/// Fails the test unless the probe fails because of this check, with a finding and an action.
#[track_caller]
fn assert_fails(options: &[String], more: &[&str], name: &str, finding: &str) -> Vec<Value> {
    let (code, checks) = probe(options, more);
    let found = check(&checks, name);
    assert_eq!(
        (code, &found["result"]),
        (Some(1), &"fail".into()),
        "{checks:#?}"
    );
    assert!(
        found["finding"].as_str().unwrap().contains(finding),
        "{found}"
    );
    assert!(!found["action"].as_str().unwrap().is_empty(), "{found}");
    checks
}

#[test]
fn a_valid_endpoint_is_reported_as_ready() {
    let proxy = Proxy::start();
    let options = options(&proxy, &PAYMENTS);
    let ca = options.last().unwrap();
    let more = ["--key", "orders", "--trusted-roots", ca];
    let (code, checks) = probe_in_time(&options, &more, &[]);
    assert_eq!((code, failed(&checks)), (Some(0), vec![]), "{checks:#?}");
    for name in [
        "path",
        "Region",
        "credential form",
        "DNS",
        "TCP",
        "TLS",
        "suite",
        "chain",
        "authority",
        "name",
        "expiry",
        "credential",
        "clock",
        "key",
        "metadata",
        "encrypt",
        "decrypt",
    ] {
        // Other work on the machine can slow it down.
        let result = &check(&checks, name)["result"];
        let is_latency = LATENCIES.contains(&name);
        assert!(
            *result == "ok" || (is_latency && *result == "warn"),
            "{name}: {checks:#?}"
        );
    }
    // A single HSM, and a port that KMS cannot use.
    for name in ["health", "endpoint"] {
        assert_eq!(check(&checks, name)["result"], "warn");
    }
    let (code, stdout, _) = command("probe", &options, &["--samples", "1"]);
    assert!(
        code == Some(0) && stdout.contains("Ready for KMS"),
        "{stdout}"
    );
}

/// A name that resolves to another address, as before a DNS change or within a VPC: KMS's port, and the address of an option.
#[test]
fn an_address_can_be_given_for_the_name() {
    let proxy = Proxy::start();
    let address = format!("127.0.0.1:{}", proxy.server.port());
    let options = with(
        &options(&proxy, &PAYMENTS),
        "--endpoint",
        "https://localhost",
    );
    let more = ["--connect", &address, "--key", "orders"];
    let (code, checks) = probe_in_time(&options, &more, &[]);
    assert_eq!((code, failed(&checks)), (Some(0), vec![]), "{checks:#?}");
    assert_eq!(check(&checks, "DNS")["result"], "skipped");
    assert_eq!(check(&checks, "endpoint")["result"], "ok");
    let (code, stdout, stderr) = command(
        "conformance",
        &options,
        &[&more[..], &["--only", "health"]].concat(),
    );
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let load = ["--rate", "20", "--duration", "1s", "--timeout", "10s"];
    let (code, stdout, stderr) = command("bench", &options, &[&more[..], &load].concat());
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}

fn proxy_with(identity: impl FnOnce(&mut Setup) -> Identity) -> Proxy {
    Proxy::start_with(|setup| {
        let identity = identity(setup);
        setup.server_identity(&identity);
    })
}

#[test]
fn certificates_that_kms_rejects_are_found() {
    let expired = proxy_with(|setup| setup.authority.expired_server());
    let checks = assert_fails(&options(&expired, &PAYMENTS), &[], "expiry", "expired");
    assert_eq!(
        failed(&checks),
        ["expiry"],
        "the chain itself is valid: {checks:#?}"
    );
    assert_eq!(
        check(&checks, "credential")["result"],
        "ok",
        "the other checks still run"
    );

    assert_eq!(
        check(&checks, "authority")["result"],
        "warn",
        "an authority of --ca is not in AWS's list: {checks:#?}"
    );

    let misnamed = proxy_with(|setup| setup.authority.misnamed_server_that_ends_in(90));
    let checks = assert_fails(
        &options(&misnamed, &PAYMENTS),
        &[],
        "name",
        "the common name is elsewhere",
    );
    assert_eq!(failed(&checks), ["name"], "{checks:#?}");

    let due = proxy_with(|setup| setup.authority.server_that_ends_in(30));
    let (code, checks) = probe(&options(&due, &PAYMENTS), &[]);
    assert_eq!(
        (code, &check(&checks, "expiry")["result"]),
        (Some(0), &"warn".into()),
        "less than a third of 100 days: {checks:#?}"
    );

    let misnamed = proxy_with(|setup| setup.authority.server_named("xks.example.com"));
    let checks = assert_fails(
        &options(&misnamed, &PAYMENTS),
        &[],
        "name",
        "xks.example.com",
    );
    assert_eq!(failed(&checks), ["name"], "{checks:#?}");
}

#[test]
fn an_incomplete_chain_and_an_untrusted_root_have_different_findings() {
    let incomplete = proxy_with(|setup| {
        let intermediate = setup.authority.intermediate("Test Issuing CA");
        intermediate.server(rcgen::KeyPair::generate().unwrap())
    });
    assert_fails(
        &options(&incomplete, &PAYMENTS),
        &[],
        "chain",
        "Test Issuing CA",
    );

    let complete = proxy_with(|setup| {
        let intermediate = setup.authority.intermediate("Test Issuing CA");
        let mut identity = intermediate.server(rcgen::KeyPair::generate().unwrap());
        identity.certificate_pem += &intermediate.pem();
        identity
    });
    let (code, checks) = probe(&options(&complete, &PAYMENTS), &[]);
    assert_eq!(code, Some(0), "{checks:#?}");

    // The chain is complete, but KMS trusts another root.
    let untrusted = Authority::new("Another Root").pem();
    let file = complete.setup.write_private("another-root.pem", &untrusted);
    let more = ["--trusted-roots", file.to_str().unwrap()];
    assert_fails(
        &options(&complete, &PAYMENTS),
        &more,
        "authority",
        "Test Server CA",
    );
}

#[test]
fn a_list_of_fingerprints_in_the_format_of_aws_is_accepted() {
    let proxy = proxy_with(|setup| {
        let mut identity = setup.authority.server(rcgen::KeyPair::generate().unwrap());
        identity.certificate_pem += &setup.authority.pem();
        identity
    });
    let digest = <sha2::Sha256 as sha2::Digest>::digest(proxy.setup.authority.der());
    let hex: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let listing = format!(
        "Alias name: test\nOwner: CN=Test Server CA\n\t SHA256: {}\n****\n",
        hex.join(":")
    );
    let good = proxy.setup.write_private("listing", &listing);
    let other = proxy.setup.write_private(
        "other",
        &listing
            .replace(&hex.join(":"), &"AB:".repeat(32))
            .replace("Server", "Other"),
    );
    let options = options(&proxy, &PAYMENTS);
    let (code, checks) = probe(&options, &["--trusted-roots", good.to_str().unwrap()]);
    assert_eq!(
        (code, &check(&checks, "authority")["result"]),
        (Some(0), &"ok".into()),
        "{checks:#?}"
    );
    assert_fails(
        &options,
        &["--trusted-roots", other.to_str().unwrap()],
        "authority",
        "Test Server CA",
    );
}

#[test]
fn an_endpoint_without_a_listener_or_tls_is_found() {
    let proxy = Proxy::start();
    let options = options(&proxy, &PAYMENTS);
    let nobody = Nobody::bind();
    let checks = assert_fails(
        &with(&options, "--endpoint", &nobody.endpoint()),
        &[],
        "TCP",
        "refused",
    );
    assert_eq!(check(&checks, "credential")["result"], "skipped");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let mut socket = socket;
            let _ = socket.read(&mut [0; 1_000]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let plain = with(&options, "--endpoint", &format!("https://localhost:{port}"));
    assert_fails(&plain, &[], "TLS", "");
}

#[test]
fn a_wrong_credential_or_path_is_reported() {
    let proxy = Proxy::start();
    let options = options(&proxy, &PAYMENTS);
    let other = proxy.setup.directory.join(PAYMENTS_NEXT.access_key_id);
    let wrong = with(&options, "--secret-file", other.to_str().unwrap());
    assert_fails(&wrong, &[], "credential", "AuthenticationFailedException");
    let short = proxy.setup.write_private("short", "too short");
    let short = with(&options, "--secret-file", short.to_str().unwrap());
    assert_fails(&short, &[], "credential form", "43 to 64");
    let elsewhere = with(&options, "--path", "/nowhere/kms/xks/v1");
    assert_fails(&elsewhere, &[], "credential", "InvalidUriPathException");
    let illegal = with(&options, "--path", "/payments");
    assert_fails(&illegal, &[], "path", "/kms/xks/v1");
    assert_fails(
        &options,
        &["--key", "nobody"],
        "key",
        "KeyNotFoundException",
    );
}

#[test]
fn a_slow_hsm_is_reported() {
    let (proxy, device) = faulty();
    device.set_delay(Function::Encrypt, 300_000);
    let more = ["--key", "orders"];
    let (code, checks) = probe_in_time(&options(&proxy, &PAYMENTS), &more, &["encrypt"]);
    assert_eq!(
        (code, failed(&checks)),
        (Some(1), vec!["encrypt"]),
        "{checks:#?}"
    );
    let finding = check(&checks, "encrypt")["finding"].as_str().unwrap();
    assert!(finding.contains("median"), "{finding}");
}

#[test]
fn mutual_tls() {
    let proxy = Proxy::start_with(|setup| setup.require_client_certificates());
    let options = options(&proxy, &PAYMENTS);
    assert_fails(&options, &[], "credential", "certificate");
    let identity = proxy.setup.client_authority.client(KMS_SUBJECT);
    let certificate = proxy
        .setup
        .write_private("client.pem", &identity.certificate_pem);
    let key = proxy.setup.write_private("client.key", &identity.key_pem);
    let client = [
        "--client-certificate",
        certificate.to_str().unwrap(),
        "--client-key",
        key.to_str().unwrap(),
    ];
    let (code, checks) = probe(&options, &client);
    assert_eq!(code, Some(0), "{checks:#?}");
}
