//! The client certificates of the simulator with each mode of the proxy. KMS may change its certificate at any time, and only the mode
//! `required` depends on it.

use std::fs;

use serde_json::json;

use crate::harness::simulator::Simulator;
use crate::harness::system::System;

/// Each kind of client certificate, with the result that the proxy counts.
const KINDS: [(&str, &str); 5] = [
    ("client-auth", "verified"),
    ("server-auth-only", "server_auth_only"),
    ("none", "absent"),
    ("other-ca", "unverified"),
    ("expired", "unverified"),
];

/// Starts a proxy in this mode that trusts the CA of the simulator.
fn system(mode: &str, kind: Option<&str>) -> System {
    System::start_with(
        |setup| {
            setup.client_auth(mode);
            let identity = setup.directory.join("identity");
            fs::create_dir(&identity).unwrap();
            setup.write_private("identity/ca.pem", &setup.client_authority.pem());
            setup.write_private("identity/ca.key", &setup.client_authority.key_pem());
        },
        |options, directory| {
            let options = options.with("--identity", directory.join("identity").display());
            match kind {
                Some(kind) => options.with("--client-certificate", kind),
                None => options,
            }
        },
    )
}

fn key(system: &System, store: &str) -> String {
    let body =
        json!({"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store, "XksKeyId": "orders"});
    let key = system.kms().ok("CreateKey", &body);
    key["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
}

#[test]
fn mode_optional_accepts_kms_without_a_certificate() {
    // By default the simulator presents no certificate.
    let system = system("optional", None);
    let store = system.connected_store();
    let key = key(&system, &store);
    let encrypted = system.kms().encrypt(&key).unwrap();
    let body = json!({ "CiphertextBlob": encrypted["CiphertextBlob"] });
    system.kms().ok("Decrypt", &body);
    let result = |name: &str| {
        let labels = [("result", name)];
        system
            .proxy
            .metric("xks_client_certificates_total", &labels)
    };
    assert!(result("absent") > Some(0.0));
    assert_eq!(result("verified"), Some(0.0));
}

#[test]
fn optional_accepts_each_kind_and_required_only_client_auth() {
    let mut system = system("optional", Some("client-auth"));
    let store = system.connected_store();
    let key = key(&system, &store);
    for mode in ["required", "off", "optional"] {
        system.proxy.reconfigure(|setup| setup.client_auth(mode));
        for (kind, result) in KINDS {
            assert_eq!(system.simulator.present(kind), 200);
            let outcome = system.kms().encrypt(&key);
            let is_served = mode != "required" || kind == "client-auth";
            match outcome {
                Ok(_) => assert!(is_served, "{mode} {kind}"),
                Err((name, message)) => {
                    assert!(!is_served, "{mode} {kind}: {message}");
                    assert_eq!(name, "KMSInvalidStateException", "{message}");
                }
            }
            if mode != "off" {
                let labels = [("result", result)];
                let name = "xks_client_certificates_total";
                system
                    .proxy
                    .await_metric(name, &labels, |count| count > 0.0);
            }
        }
    }
}

#[test]
fn mode_required_rejects_kms_without_a_certificate() {
    let system = system("required", Some("client-auth"));
    let store = system.connected_store();
    system.kms().disconnect(&store);
    assert_eq!(system.simulator.present("none"), 200);
    let code = system.kms().connect(&store);
    assert_eq!(code, "XKS_PROXY_INVALID_TLS_CONFIGURATION");
    system.proxy.daemon.wait_for("what to change", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        error.contains("the client sent none") && error.contains("with \"optional\"")
    });
}

#[test]
fn a_kind_without_a_directory_is_rejected_and_not_presented() {
    let system = system("optional", Some("client-auth"));
    assert_eq!(system.simulator.present("nonsense"), 400);
    let bare = Simulator::start(&Default::default());
    assert_eq!(bare.present("client-auth"), 409, "no directory");
    assert_eq!(bare.present("none"), 200);
}
