//! TLS of the server (section 2 of the contract): versions, cipher suites, key formats, ALPN, and bytes that are not TLS.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{KeyPair, PKCS_RSA_SHA256};
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ALL_VERSIONS, CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion, SupportedCipherSuite,
};

use crate::harness::http::{Connection, Request, tcp};
use crate::harness::pki::{tls_client, tls_client_of};
use crate::harness::wire::plain_body;
use crate::harness::{PAYMENTS, Proxy};

/// A proxy whose server key is RSA.
fn proxy_with_rsa_key() -> Proxy {
    Proxy::start_with(|setup| {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let identity = setup.authority.server(key);
        setup.server_identity(&identity);
    })
}

fn assert_serves(proxy: &Proxy, mut connection: Connection) {
    connection.exchange(&health(proxy)).ok();
}

fn health(proxy: &Proxy) -> Request {
    proxy
        .caller(&PAYMENTS)
        .request("health", "", plain_body("health").to_string())
}

#[test]
fn plain_http_on_the_tls_port_gets_a_tls_alert_or_a_close() {
    let proxy = Proxy::start();
    for bytes in [
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".as_slice(),
        b"\r\n\r\n",
        &[0xff; 1_000],
    ] {
        let mut socket = tcp(proxy.server).unwrap();
        socket.write_all(bytes).unwrap();
        let mut received = Vec::new();
        let _ = socket.read_to_end(&mut received);
        let is_alert = received.first() == Some(&0x15) && received.len() == 7;
        assert!(
            received.is_empty() || is_alert,
            "{:?}",
            String::from_utf8_lossy(&received)
        );
    }
    proxy.caller(&PAYMENTS).health();
}

/// Returns success and output of `openssl s_client` with these options.
fn s_client(proxy: &Proxy, options: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &proxy.server.to_string()])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is missing: run tests/run, or install the package openssl");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn tls_1_1_and_older_are_rejected_with_an_alert() {
    let proxy = Proxy::start();
    for version in ["-tls1_1", "-tls1"] {
        // With a higher security level, openssl does not offer this version.
        let (success, output) = s_client(&proxy, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(
            !success
                && (output.contains("alert protocol version")
                    || output.contains("alert handshake failure")),
            "{version}: {output}"
        );
    }
    let (success, output) = s_client(&proxy, &["-tls1_2"]);
    assert!(
        success && output.contains("ECDHE-ECDSA-AES256-GCM-SHA384"),
        "{output}"
    );
}

#[test]
fn suites_without_forward_secrecy_or_authenticated_encryption_are_rejected() {
    let proxy = proxy_with_rsa_key();
    for cipher in [
        "AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA384",
    ] {
        let (success, output) = s_client(&proxy, &["-tls1_2", "-cipher", cipher]);
        assert!(
            !success && output.contains("alert handshake failure"),
            "{cipher}: {output}"
        );
    }
}

fn negotiated_suite(proxy: &Proxy, suite: SupportedCipherSuite) -> CipherSuite {
    let provider = aws_lc_rs::default_provider();
    let only = rustls::crypto::CryptoProvider {
        cipher_suites: vec![suite],
        ..provider
    };
    let versions = [suite.version()];
    let client = tls_client_of(
        only,
        proxy.setup.authority.der(),
        &versions,
        None,
        &["http/1.1"],
    );
    let connection = Connection::open(proxy.server, client).expect("a common cipher suite");
    let negotiated = connection.tls().negotiated_cipher_suite().unwrap().suite();
    assert_serves(proxy, connection);
    negotiated
}

#[test]
fn each_suite_of_the_contract_is_served() {
    let ecdsa = Proxy::start();
    for suite in [
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ] {
        assert_eq!(negotiated_suite(&ecdsa, suite), suite.suite());
    }
    let rsa = proxy_with_rsa_key();
    let suite = cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384;
    assert_eq!(negotiated_suite(&rsa, suite), suite.suite());
}

#[test]
fn a_modern_client_gets_tls_1_3_and_the_post_quantum_hybrid() {
    let proxy = Proxy::start();
    let connection = proxy.connect();
    assert_eq!(
        connection.tls().protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
    let group = connection
        .tls()
        .negotiated_key_exchange_group()
        .unwrap()
        .name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[test]
fn alpn_selects_http_1_1_or_http_2() {
    let proxy = Proxy::start();
    let root = || proxy.setup.authority.der();
    for (offered, chosen) in [
        (&["http/1.1"][..], Some("http/1.1")),
        (&["h2"], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&[], None),
    ] {
        let client = tls_client(root(), ALL_VERSIONS, None, offered);
        let connection = Connection::open(proxy.server, client).unwrap();
        let protocol = connection.tls().alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(
            protocol.as_deref(),
            chosen.map(str::as_bytes),
            "offered {offered:?}"
        );
        if chosen != Some("h2") {
            assert_serves(&proxy, connection);
        }
    }
}

/// Converts the server's private key with openssl.
fn convert(key: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .arg("-in")
        .arg(key)
        .arg("-out")
        .arg(key)
        .output()
        .expect("openssl is missing: run tests/run, or install the package openssl");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn private_keys_in_pkcs8_pkcs1_and_sec1_are_served() {
    let formats = [
        (true, None, "BEGIN PRIVATE KEY"),
        (
            true,
            Some(["rsa", "-traditional"].as_slice()),
            "BEGIN RSA PRIVATE KEY",
        ),
        (false, None, "BEGIN PRIVATE KEY"),
        (false, Some(&["ec"]), "BEGIN EC PRIVATE KEY"),
    ];
    for (rsa, conversion, label) in formats {
        let proxy = Proxy::start_with(|setup| {
            let key = if rsa {
                KeyPair::generate_for(&PKCS_RSA_SHA256)
            } else {
                KeyPair::generate()
            };
            let identity = setup.authority.server(key.unwrap());
            setup.server_identity(&identity);
            let file = setup.directory.join("server.key");
            if let Some(arguments) = conversion {
                convert(&file, arguments);
            }
            assert!(std::fs::read_to_string(&file).unwrap().contains(label));
        });
        assert_serves(&proxy, proxy.connect());
    }
}

/// Each connection after the first one resumes a session. In TLS 1.3, a ticket resumes one connection, and each connection gets one ticket.
#[test]
fn both_tls_versions_serve_and_resume() {
    let proxy = Proxy::start();
    for version in [&TLS12, &TLS13] {
        let client = tls_client(proxy.setup.authority.der(), &[version], None, &["http/1.1"]);
        for number in 0..3 {
            let mut connection = Connection::open(proxy.server, Arc::clone(&client)).unwrap();
            connection.exchange(&health(&proxy)).ok();
            let kind = connection.tls().handshake_kind().unwrap();
            let is_resumed = kind == HandshakeKind::Resumed;
            assert_eq!(is_resumed, number > 0, "{version:?}: {kind:?}");
            let tickets = u32::from(version.version == ProtocolVersion::TLSv1_3);
            assert_eq!(connection.tls().tls13_tickets_received(), tickets);
        }
    }
}
