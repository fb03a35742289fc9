//! Client authentication in its three modes: what a connection shows of its client, in each version of TLS, is on record and can be asked for by
//! a policy; only mode required ends a handshake.

use std::io;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};
use serde_json::Value;

use crate::harness::http::Connection;
use crate::harness::metrics::eventually;
use crate::harness::pki::{Authority, Identity, KMS_SUBJECT, tls_client};
use crate::harness::response::Response;
use crate::harness::setup::Setup;
use crate::harness::wire::encrypt_body;
use crate::harness::{PAYMENTS, Proxy};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

const REQUIRED_WARNING: &str = "client_auth.mode = \"required\": AWS deprecates mTLS; once KMS shows no clientAuth certificate all requests fail; use \"optional\"";

/// What a client shows, its result, and the reason that is counted.
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

fn client(
    proxy: &Proxy,
    version: &'static SupportedProtocolVersion,
    identity: Option<&Identity>,
) -> Arc<ClientConfig> {
    let root = proxy.setup.authority.der();
    tls_client(root, &[version], identity, &["http/1.1"])
}

/// Encrypts on a new connection. In TLS 1.3 the alert comes in place of the answer.
fn attempt(proxy: &Proxy, config: Arc<ClientConfig>, body: &Value) -> io::Result<Response> {
    let mut connection = Connection::open(proxy.server, config)?;
    let payments = proxy.caller(&PAYMENTS);
    let request = payments.request("encrypt", "orders", body.to_string());
    // The alert may have closed the connection already; then it is read.
    drop(connection.send(&request.bytes()));
    let answer = connection.try_response()?;
    Ok(answer.expect("an answer or an alert"))
}

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
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
fn off_asks_nobody_and_serves_everybody() {
    let (proxy, trail) = proxy("off");
    assert_mode(&proxy, "off");
    for version in VERSIONS {
        for (show, result, reason) in KINDS {
            let identity = show(&proxy.setup);
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
fn optional_serves_everybody_and_records_the_result() {
    let (proxy, trail) = proxy("optional");
    assert_mode(&proxy, "optional");
    for (version, count) in VERSIONS.into_iter().zip([1.0, 2.0]) {
        for (show, result, reason) in KINDS {
            let identity = show(&proxy.setup);
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
    let said = |result: &str| {
        let what = format!("a line about {result}");
        proxy.daemon.wait_for(&what, |line| {
            line["message"] == "client certificate not verified; the connection is served"
                && line["client_certificate"] == result
        });
    };
    said("server_auth_only");
}

#[test]
fn required_serves_a_verified_client_only() {
    let (proxy, trail) = proxy("required");
    assert_mode(&proxy, "required");
    for (version, count) in VERSIONS.into_iter().zip([1.0, 2.0]) {
        for (show, result, reason) in KINDS {
            let identity = show(&proxy.setup);
            let body = encrypt_body(b"x");
            let config = client(&proxy, version, identity.as_ref());
            match (result, attempt(&proxy, config, &body)) {
                ("verified", answer) => {
                    answer.unwrap().ok();
                    assert_eq!(trail.request(&body)["client_certificate"], "verified");
                }
                // rustls has an alert of its own for this (RFC 8446, section 4.4.2.4).
                ("absent", Err(error)) => assert!(alert(&error).is_some(), "{error:?}"),
                (_, Err(error)) => {
                    let expected = Some(AlertDescription::HandshakeFailure);
                    assert_eq!(alert(&error), expected, "{version:?} {result}");
                }
                (_, Ok(answer)) => panic!("{result} was answered: {}", answer.status),
            }
            let labels = [("result", result), ("reason", reason)];
            let name = "xks_client_certificates_total";
            proxy.await_metric(name, &labels, |value| value == count);
        }
    }
}

#[test]
fn a_refusal_says_what_to_change() {
    let (proxy, _trail) = proxy("required");
    proxy.daemon.wait_for("the warning of the start", |line| {
        let warning = line["warning"].as_str().unwrap_or_default();
        line["level"] == "WARN" && warning.contains(REQUIRED_WARNING)
    });
    let config = client(&proxy, &TLS13, None);
    attempt(&proxy, config, &encrypt_body(b"x")).unwrap_err();
    proxy.daemon.wait_for("what to change", |line| {
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
    // What the connection had shown stays its result.
    let body = encrypt_body(b"x");
    let payments = proxy.caller(&PAYMENTS);
    old.exchange(&payments.request("encrypt", "orders", body.to_string()))
        .ok();
    assert_eq!(proxy.access_line(&body)["client_certificate"], "verified");
}

#[test]
fn a_session_is_not_resumed_with_the_result_of_another() {
    let (proxy, _trail) = proxy("optional");
    for version in VERSIONS {
        // One configuration, and so one store of sessions.
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

/// Shows a certificate without having its key.
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
    let shown = proxy.setup.client_authority.client(KMS_SUBJECT);
    let own = Identity::self_signed_client("somebody");
    let key = any_supported_type(&own.key()).unwrap();
    let certified = CertifiedKey::new(vec![shown.certificate], key);
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
        let answer = attempt(&optional, impostor(&optional, version), &body);
        answer.unwrap().ok();
        let line = trail.request(&body);
        assert_eq!(line["client_certificate"], "unverified", "{version:?}");
        assert!(line.get("client_subject").is_none(), "{line}");
        assert_eq!(counted(&optional, "unverified", "signature"), count);
        let refused = attempt(&required, impostor(&required, version), &body).unwrap_err();
        assert_eq!(alert(&refused), Some(AlertDescription::HandshakeFailure));
    }
}

#[test]
fn a_policy_can_ask_for_a_verified_client() {
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
    for (show, result, _) in KINDS {
        let identity = show(&proxy.setup);
        let body = encrypt_body(b"x");
        let config = client(&proxy, &TLS13, identity.as_ref());
        let answer = attempt(&proxy, config, &body).unwrap();
        match result {
            "verified" => drop(answer.ok()),
            _ => answer.assert_error(403, "AccessDeniedException"),
        }
    }
}

#[test]
fn the_last_certificate_is_shown_by_metrics() {
    let (proxy, _trail) = proxy("optional");
    let end = || proxy.metric("xks_client_certificate_not_after_seconds", &[]);
    let use_ = || proxy.metric("xks_client_certificate_client_auth", &[]);
    attempt(&proxy, client(&proxy, &TLS13, None), &encrypt_body(b"x")).unwrap();
    assert_eq!((end(), use_()), (None, None), "nothing was shown");
    let setup = &proxy.setup;
    for (identity, expected_use, has_ended) in [
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
        eventually("the facts of the certificate", || {
            let is_past = end()? < 1_700_000_000.0;
            (use_() == Some(expected_use) && is_past == has_ended).then_some(())
        });
    }
}
