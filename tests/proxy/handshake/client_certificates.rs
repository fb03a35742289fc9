//! Client authentication in its three modes. The result is recorded for each version of TLS, and policies can use it. Only mode required rejects a
//! handshake.

use std::io;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    AlertDescription, ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};
use serde_json::Value;

use super::{VERSIONS, alert, client};
use crate::harness::http::Connection;
use crate::harness::metrics::eventually;
use crate::harness::pki::{Authority, Identity, KMS_SUBJECT};
use crate::harness::response::Response;
use crate::harness::setup::Setup;
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

const REQUIRED_WARNING: &str = "client_auth.mode = \"required\": AWS deprecates mTLS; once KMS shows no clientAuth certificate all requests fail; use \"optional\"";

/// The certificate that a client sends, its result, and the reason in the metric.
type Kind = (fn(&Setup) -> Option<Identity>, &'static str, &'static str);

const KINDS: [Kind; 5] = [
    (
        |setup| Some(setup.client_authority.client(KMS_SUBJECT)),
        "verified",
        "none",
    ),
    (
        |setup| Some(setup.client_authority.server_named(KMS_SUBJECT)),
        "server_auth_only",
        "eku",
    ),
    (|_| None, "absent", "none"),
    (
        |_| Some(Authority::new("Test Client CA").client(KMS_SUBJECT)),
        "unverified",
        "unknown_ca",
    ),
    (
        |setup| Some(setup.client_authority.expired_client(KMS_SUBJECT)),
        "unverified",
        "expired",
    ),
];

fn proxy(mode: &str) -> (Proxy, crate::harness::trail::Trail) {
    let mut trail = None;
    let proxy = Proxy::start_with(|setup| {
        setup.client_auth(mode);
        trail = Some(setup.audit(""));
    });
    (proxy, trail.unwrap())
}

/// Encrypts on a new connection. In TLS 1.3 a rejected client receives the alert instead of the response.
fn attempt(proxy: &Proxy, config: Arc<ClientConfig>, body: &Value) -> io::Result<Response> {
    let mut connection = Connection::open(proxy.server, config)?;
    let payments = proxy.caller(&PAYMENTS);
    let request = payments.request("encrypt", "orders", body.to_string());
    // If the connection is closed already, the alert is read below.
    drop(connection.send(&request.bytes()));
    let response = connection.try_response()?;
    Ok(response.expect("a response or an alert"))
}

fn counted(proxy: &Proxy, result: &str, reason: &str) -> f64 {
    let labels = [("result", result), ("reason", reason)];
    let count = proxy.metric("xks_client_certificates_total", &labels);
    count.expect("a series of each result")
}

#[track_caller]
fn assert_mode(proxy: &Proxy, mode: &str) {
    for name in ["off", "optional", "required"] {
        let value = proxy.metric("xks_client_auth_mode", &[("mode", name)]);
        assert_eq!(value, Some(f64::from(u8::from(name == mode))), "{name}");
    }
}

#[test]
fn off_requests_no_certificate_and_serves_every_client() {
    let (proxy, trail) = proxy("off");
    assert_mode(&proxy, "off");
    for version in VERSIONS {
        for (certificate, result, reason) in KINDS {
            let identity = certificate(&proxy.setup);
            let body = encrypt_body(b"x");
            let config = client(&proxy, version, identity.as_ref());
            attempt(&proxy, config, &body).unwrap().ok();
            assert_eq!(proxy.access_line(&body)["client_certificate"], "off");
            let line = trail.request(&body);
            assert_eq!(line["client_certificate"], "off");
            assert!(line.get("client_subject").is_none(), "{line}");
            assert_eq!(counted(&proxy, result, reason), 0.0);
        }
    }
}

#[test]
fn optional_serves_every_client_and_records_the_result() {
    let (proxy, trail) = proxy("optional");
    assert_mode(&proxy, "optional");
    for (version, count) in VERSIONS.into_iter().zip([1.0, 2.0]) {
        for (certificate, result, reason) in KINDS {
            let identity = certificate(&proxy.setup);
            let body = encrypt_body(b"x");
            let config = client(&proxy, version, identity.as_ref());
            attempt(&proxy, config, &body).unwrap().ok();
            assert_eq!(proxy.access_line(&body)["client_certificate"], result);
            let line = trail.request(&body);
            assert_eq!(line["client_certificate"], result);
            let has_subject = line.get("client_subject").is_some();
            assert_eq!(has_subject, result == "verified", "{line}");
            assert_eq!(counted(&proxy, result, reason), count, "{result}");
        }
    }
    trail.assert_chain();
    proxy
        .daemon
        .wait_for("a line about server_auth_only", |line| {
            line["message"] == "client certificate not verified; the connection is served"
                && line["client_certificate"] == "server_auth_only"
        });
}

#[test]
fn required_serves_verified_clients_only() {
    let (proxy, trail) = proxy("required");
    assert_mode(&proxy, "required");
    for (version, count) in VERSIONS.into_iter().zip([1.0, 2.0]) {
        for (certificate, result, reason) in KINDS {
            let identity = certificate(&proxy.setup);
            let body = encrypt_body(b"x");
            let config = client(&proxy, version, identity.as_ref());
            match (result, attempt(&proxy, config, &body)) {
                ("verified", response) => {
                    response.unwrap().ok();
                    assert_eq!(trail.request(&body)["client_certificate"], "verified");
                }
                // For a missing certificate, rustls sends another alert (RFC 8446, section 4.4.2.4).
                ("absent", Err(error)) => assert!(alert(&error).is_some(), "{error:?}"),
                (_, Err(error)) => {
                    let expected = Some(AlertDescription::HandshakeFailure);
                    assert_eq!(alert(&error), expected, "{version:?} {result}");
                }
                (_, Ok(response)) => panic!("{result} has a response: {}", response.status),
            }
            let labels = [("result", result), ("reason", reason)];
            let name = "xks_client_certificates_total";
            proxy.await_metric(name, &labels, |value| value == count);
        }
    }
}

#[test]
fn the_log_line_of_a_rejection_names_the_setting() {
    let (proxy, _trail) = proxy("required");
    proxy.daemon.wait_for("the warning of the start", |line| {
        let warning = line["warning"].as_str().unwrap_or_default();
        line["level"] == "WARN" && warning.contains(REQUIRED_WARNING)
    });
    let config = client(&proxy, &TLS13, None);
    attempt(&proxy, config, &encrypt_body(b"x")).unwrap_err();
    proxy.daemon.wait_for("the setting to change", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        line["message"] == "TLS handshake failed"
            && error.contains("the client sent none")
            && error.contains("client_auth.mode")
            && error.contains("optional")
    });
}

#[test]
fn a_table_without_a_mode_is_required() {
    let proxy = Proxy::start_with(|setup| setup.require_client_certificates());
    assert_mode(&proxy, "required");
    attempt(&proxy, Arc::clone(&proxy.client), &encrypt_body(b"x")).unwrap_err();
}

#[test]
fn the_mode_changes_for_new_connections() {
    let (mut proxy, _trail) = proxy("required");
    let kms = proxy.setup.client_authority.client(KMS_SUBJECT);
    let served = |proxy: &Proxy, identity: Option<&Identity>| {
        let config = client(proxy, &TLS13, identity);
        attempt(proxy, config, &encrypt_body(b"x")).is_ok()
    };
    let mut old = Connection::open(proxy.server, client(&proxy, &TLS13, Some(&kms))).unwrap();
    assert!(served(&proxy, Some(&kms)) && !served(&proxy, None));
    for (mode, serves_all) in [("optional", true), ("required", false), ("off", true)] {
        proxy.reconfigure(|setup| setup.client_auth(mode));
        assert_mode(&proxy, mode);
        assert!(served(&proxy, Some(&kms)), "{mode}");
        assert_eq!(served(&proxy, None), serves_all, "{mode}");
        assert!(proxy.has_changed("server.tls.client_auth", "changed"));
    }
    // An established connection keeps its result.
    let body = encrypt_body(b"x");
    let payments = proxy.caller(&PAYMENTS);
    old.exchange(&payments.request("encrypt", "orders", body.to_string()))
        .ok();
    assert_eq!(proxy.access_line(&body)["client_certificate"], "verified");
}

#[test]
fn sessions_with_client_authentication_are_not_resumed() {
    let (proxy, _trail) = proxy("optional");
    for version in VERSIONS {
        // All connections use one client configuration, and so one session store.
        let kms = proxy.setup.client_authority.client(KMS_SUBJECT);
        let config = client(&proxy, version, Some(&kms));
        for _ in 0..3 {
            let body = encrypt_body(b"x");
            attempt(&proxy, Arc::clone(&config), &body).unwrap().ok();
            assert_eq!(proxy.access_line(&body)["client_certificate"], "verified");
            let connection = Connection::open(proxy.server, Arc::clone(&config)).unwrap();
            let kind = connection.tls().handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Full), "{version:?}");
        }
    }
}

/// Sends a certificate without having its private key.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesClientCert for Impostor {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn impostor(proxy: &Proxy, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let stolen = proxy.setup.client_authority.client(KMS_SUBJECT);
    let own = Identity::self_signed_client("somebody");
    let key = any_supported_type(&own.key()).unwrap();
    let certified = CertifiedKey::new(vec![stolen.certificate], key);
    let mut roots = RootCertStore::empty();
    roots.add(proxy.setup.authority.der()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_protocol_versions(&[version])
    .unwrap()
    .with_root_certificates(roots)
    .with_client_cert_resolver(Arc::new(Impostor(Arc::new(certified))));
    Arc::new(config)
}

#[test]
fn a_certificate_without_its_key_is_not_verified() {
    let (optional, trail) = proxy("optional");
    let (required, _) = proxy("required");
    for (version, count) in VERSIONS.into_iter().zip([1.0, 2.0]) {
        let body = encrypt_body(b"x");
        let response = attempt(&optional, impostor(&optional, version), &body);
        response.unwrap().ok();
        let line = trail.request(&body);
        assert_eq!(line["client_certificate"], "unverified", "{version:?}");
        assert!(line.get("client_subject").is_none(), "{line}");
        assert_eq!(counted(&optional, "unverified", "signature"), count);
        let rejected = attempt(&required, impostor(&required, version), &body).unwrap_err();
        assert_eq!(alert(&rejected), Some(AlertDescription::HandshakeFailure));
    }
}

#[test]
fn a_policy_can_require_a_verified_client() {
    let proxy = Proxy::start_with(|setup| {
        setup.client_auth("optional");
        let file = setup.directory.join("rules.cedar");
        let rules = "@id(\"all\") permit(principal, action, resource);\n\
            @id(\"verified-only\") forbid(principal, action, resource == Xks::Key::\"payments/orders\") \
            unless { context.client_certificate == \"verified\" };";
        std::fs::write(&file, rules).unwrap();
        let table = format!("[policy]\nengine = \"cedar\"\npath = {file:?}\n");
        setup.edit("[server]\n", &format!("{table}[server]\n"));
    });
    for (certificate, result, _) in KINDS {
        let identity = certificate(&proxy.setup);
        let body = encrypt_body(b"x");
        let config = client(&proxy, &TLS13, identity.as_ref());
        let response = attempt(&proxy, config, &body).unwrap();
        match result {
            "verified" => drop(response.ok()),
            _ => response.assert_error(403, "AccessDeniedException"),
        }
    }
}

#[test]
fn metrics_show_the_last_certificate() {
    let (proxy, _trail) = proxy("optional");
    let end = || proxy.metric("xks_client_certificate_not_after_seconds", &[]);
    let client_auth = || proxy.metric("xks_client_certificate_client_auth", &[]);
    attempt(&proxy, client(&proxy, &TLS13, None), &encrypt_body(b"x")).unwrap();
    assert_eq!((end(), client_auth()), (None, None), "no certificate yet");
    let setup = &proxy.setup;
    for (identity, expected, has_ended) in [
        (setup.client_authority.client(KMS_SUBJECT), 1.0, false),
        (setup.client_authority.server_named(KMS_SUBJECT), 0.0, false),
        (
            setup.client_authority.expired_client(KMS_SUBJECT),
            1.0,
            true,
        ),
    ] {
        let config = client(&proxy, &TLS13, Some(&identity));
        attempt(&proxy, config, &encrypt_body(b"x")).unwrap();
        eventually("the metrics of the certificate", || {
            let is_past = end()? < 1_700_000_000.0;
            (client_auth() == Some(expected) && is_past == has_ended).then_some(())
        });
    }
}
