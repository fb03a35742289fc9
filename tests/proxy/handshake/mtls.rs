//! mTLS (section 2 of the contract): a client certificate is accepted only with the right CA *and* the right subject.

use std::io;
use std::process::Command;
use std::sync::Arc;

use rustls::version::TLS13;
use rustls::{AlertDescription, ClientConfig};

use super::{VERSIONS, alert, client};
use crate::harness::http::Connection;
use crate::harness::pki::{Authority, Identity, KMS_SUBJECT};
use crate::harness::tools::client_certificate;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy};

fn proxy() -> Proxy {
    Proxy::start_with(|setup| setup.require_client_certificates())
}

/// Encrypts with this client in both versions of TLS.
fn assert_served(proxy: &Proxy, identity: &Identity) {
    for version in VERSIONS {
        let config = client(proxy, version, Some(identity));
        let mut connection = Connection::open(proxy.server, config).unwrap();
        let payments = proxy.caller(&PAYMENTS);
        let body = encrypt_body(b"x").to_string();
        connection
            .exchange(&payments.request("encrypt", "orders", body))
            .ok();
    }
}

/// Returns the error that ended the connection. In TLS 1.3 the client completes the handshake before the server checks the certificate, so the alert has
/// to be read afterwards.
fn handshake_error(proxy: &Proxy, config: Arc<ClientConfig>) -> io::Error {
    let mut connection = match Connection::open(proxy.server, config) {
        Ok(connection) => connection,
        Err(error) => return error,
    };
    match connection.try_response() {
        Ok(_) => io::Error::other("a handshake that succeeded, and a close after it"),
        Err(error) => error,
    }
}

/// Asserts that the certificate is rejected with the alert of the contract, in both versions of TLS.
#[track_caller]
fn assert_handshake_failure(certificate: impl Fn(&Proxy) -> Identity) {
    let proxy = proxy();
    let identity = certificate(&proxy);
    for version in VERSIONS {
        let error = handshake_error(&proxy, client(&proxy, version, Some(&identity)));
        let is_rejected = alert(&error) == Some(AlertDescription::HandshakeFailure);
        assert!(
            is_rejected,
            "{version:?}: expected the alert handshake_failure (40), not {error:?}"
        );
    }
    proxy.daemon.wait_for("why the handshake failed", |line| {
        line["level"] == "WARN"
            || line["message"]
                .as_str()
                .is_some_and(|text| text.contains("handshake"))
    });
}

#[test]
fn kms_with_its_certificate_is_served() {
    let proxy = proxy();
    assert_served(&proxy, &proxy.setup.client_authority.client(KMS_SUBJECT));
}

#[test]
fn a_client_certificate_does_not_replace_the_signature() {
    let proxy = proxy();
    let identity = proxy.setup.client_authority.client(KMS_SUBJECT);
    let config = client(&proxy, &TLS13, Some(&identity));
    let mut connection = Connection::open(proxy.server, config).unwrap();
    let unsigned = proxy
        .caller(&PAYMENTS)
        .unsigned("health", "", plain_body("health").to_string());
    connection
        .exchange(&unsigned)
        .assert_error(401, "AuthenticationFailedException");
}

#[test]
fn a_missing_client_certificate_ends_the_handshake() {
    let proxy = proxy();
    for version in VERSIONS {
        let error = handshake_error(&proxy, client(&proxy, version, None));
        assert!(
            alert(&error).is_some(),
            "{version:?}: expected an alert, not {error:?}"
        );
    }
}

#[test]
fn an_expired_client_certificate_is_a_handshake_failure() {
    assert_handshake_failure(|proxy| proxy.setup.client_authority.expired_client(KMS_SUBJECT));
}

#[test]
fn a_self_signed_client_certificate_is_a_handshake_failure() {
    assert_handshake_failure(|_| Identity::self_signed_client(KMS_SUBJECT));
}

#[test]
fn a_client_certificate_of_another_authority_is_a_handshake_failure() {
    // A CA with the same name is a different CA.
    assert_handshake_failure(|_| Authority::new("Test Client CA").client(KMS_SUBJECT));
}

#[test]
fn a_client_certificate_of_the_servers_authority_is_a_handshake_failure() {
    assert_handshake_failure(|proxy| proxy.setup.authority.client(KMS_SUBJECT));
}

#[test]
fn a_client_certificate_of_another_subject_is_a_handshake_failure() {
    assert_handshake_failure(|proxy| {
        proxy
            .setup
            .client_authority
            .client("cks.kms.us-east-1.amazonaws.com")
    });
}

#[test]
fn a_subject_that_only_resembles_the_right_one_is_a_handshake_failure() {
    for name in [
        "x.cks.kms.eu-west-1.amazonaws.com",
        "cks.kms.eu-west-1.amazonaws.com.example.com",
        "cks",
    ] {
        assert_handshake_failure(|proxy| proxy.setup.client_authority.client(name));
    }
}

#[test]
fn the_subject_may_be_an_alternative_name_or_the_common_name() {
    let proxy = proxy();
    let authority = &proxy.setup.client_authority;
    for identity in [
        authority.client_with_alternative_name("someone-else", KMS_SUBJECT),
        authority.client_with_alternative_name(KMS_SUBJECT, "someone.else.test"),
    ] {
        assert_served(&proxy, &identity);
    }
}

#[test]
fn a_server_certificate_is_a_handshake_failure() {
    assert_handshake_failure(|proxy| proxy.setup.client_authority.server_named(KMS_SUBJECT));
}

/// Returns the error text of curl when it sends this certificate.
fn curl_error(proxy: &Proxy, certificate: &[String], options: &[&str]) -> String {
    let authority = proxy.setup.directory.join("server-ca.pem");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30", "--cacert"])
        .arg(&authority)
        .args(certificate)
        .args(options)
        .args(["--data", "{}"])
        .arg(format!(
            "https://{}/payments/kms/xks/v1/health",
            proxy.host()
        ))
        .output()
        .expect("curl is missing: run tests/run, or install the package curl");
    assert!(!output.status.success(), "curl was served");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_one_of_a_hundred_curls_receives_the_alert_in_each_version() {
    let proxy = proxy();
    let authority = proxy.setup.authority.pem();
    proxy.setup.write_private("server-ca.pem", &authority);
    let certificate = client_certificate(
        &proxy.setup,
        &Authority::new("Somebody Else").client(KMS_SUBJECT),
    );
    for tls in [
        ["--tlsv1.2", "--tls-max", "1.2"],
        ["--tlsv1.3", "--tls-max", "1.3"],
    ] {
        for http in ["--http1.1", "--http2"] {
            let options = [&tls[..], &[http]].concat();
            for attempt in 1..=100 {
                let error = curl_error(&proxy, &certificate, &options);
                assert!(
                    error.contains("handshake failure"),
                    "attempt {attempt} with {options:?}: {error}"
                );
            }
        }
    }
    // Each client closed after it had read its alert, so no connection is left in the pool.
    let handshakes = [("listener", "server"), ("state", "handshake")];
    proxy.await_metric("xks_connections", &handshakes, |count| count == 0.0);
}
