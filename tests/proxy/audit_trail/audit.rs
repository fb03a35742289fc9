//! The audit trail: each request and its outcome, in a hash chain that the HSM signs. The line is written before the response is sent.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::control::Function;
use crate::harness::http::Connection;
use crate::harness::outage::faulty_with;
use crate::harness::pki::{KMS_SUBJECT, tls_client};
use crate::harness::trail::{AUDIT_KEY, Trail};
use crate::harness::wire::{decrypt_body, encrypt_body, plain_body, set};
use crate::harness::{Caller, PAYMENTS, Proxy, RETAIL, StoreName};

const PLAINTEXT: &[u8] = b"nobody-may-read-this-in-a-trail";

/// Starts a proxy with an audit trail, with these lines in `[audit]`.
fn audited(lines: &str) -> (Proxy, Trail) {
    let mut trail = None;
    let proxy = Proxy::start_with(|setup| trail = Some(setup.audit(lines)));
    (proxy, trail.unwrap())
}

/// Calls each operation once. Returns its name, its body and its line.
fn one_of_each(payments: &Caller<'_>, trail: &Trail) -> Vec<(&'static str, Value, Value)> {
    let encrypted = payments.encrypt("orders", PLAINTEXT);
    let bodies = [
        ("encrypt", encrypt_body(PLAINTEXT)),
        ("decrypt", decrypt_body(&encrypted)),
        ("metadata", plain_body("metadata")),
        ("health", plain_body("health")),
    ];
    let line_of = |(operation, body): (&'static str, Value)| {
        let response = payments.call(operation, "orders", &body);
        assert_eq!(response.status, 200, "{operation}: {response:?}");
        let line = trail.request(&body);
        assert_eq!(line["response_bytes"], response.body.len(), "{line}");
        (operation, body, line)
    };
    bodies.into_iter().map(line_of).collect()
}

#[test]
fn every_verified_request_has_a_line_before_its_response() {
    let (proxy, trail) = audited("");
    for (operation, body, line) in one_of_each(&proxy.caller(&PAYMENTS), &trail) {
        assert_eq!(line["operation"], operation);
        let metadata = &body["requestMetadata"];
        assert_eq!(line["request_metadata"], *metadata, "all of it");
        for (member, value) in [
            ("key_store", json!("payments")),
            ("access_key_id", json!(PAYMENTS.access_key_id)),
            ("outcome", json!("ok")),
            ("status", json!(200)),
            ("request_bytes", json!(body.to_string().len())),
        ] {
            assert_eq!(line[member], value, "{member} of {line}");
        }
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
        assert!(line["duration_us"].as_u64().unwrap() > 0);
        let has_key = operation != "health";
        assert_eq!(line["key_id"] == "orders", has_key, "{line}");
        assert_eq!(line["hsm"] == "hsm-a", has_key, "{line}");
        assert_eq!(line["device_us"].is_u64(), has_key, "{line}");
        assert_eq!(line["queue_us"].is_u64(), has_key, "{line}");
        assert_eq!(line["key_version"] == 1, has_key, "{line}");
        assert_eq!(line["hsm_calls"], u32::from(has_key), "{line}");
    }
    trail.assert_chain();
}

#[test]
fn no_plaintext_ciphertext_or_secret_is_in_the_audit_trail() {
    let (proxy, trail) = audited("");
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", PLAINTEXT);
    payments
        .call("decrypt", "orders", &decrypt_body(&encrypted))
        .ok();
    let text = fs::read_to_string(trail.path()).unwrap();
    assert!(text.contains("\"operation\":\"decrypt\""));
    let mut secrets = vec![
        crate::harness::wire::base64(PLAINTEXT),
        String::from_utf8(PLAINTEXT.to_vec()).unwrap(),
        PAYMENTS.secret.to_owned(),
        crate::harness::token::PIN.to_owned(),
    ];
    for field in ["ciphertext", "initializationVector", "authenticationTag"] {
        secrets.push(encrypted[field].as_str().unwrap().to_owned());
    }
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} is in the audit trail");
    }
}

#[test]
fn rejections_are_recorded_with_their_error() {
    let (proxy, trail) = audited("");
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", b"x");
    let tampered = set(
        &decrypt_body(&encrypted),
        "authenticationTag",
        "AAAAAAAAAAAAAAAAAAAAAA==",
    );
    for (key, body, error) in [
        ("orders", tampered, "InvalidCiphertextException"),
        ("nobody", decrypt_body(&encrypted), "KeyNotFoundException"),
        (
            "orders",
            set(&decrypt_body(&encrypted), "ciphertext", 1),
            "ValidationException",
        ),
    ] {
        let response = payments.call("decrypt", key, &body);
        assert_eq!(response.json()["errorName"], error);
        let last = trail.of_kind("request").pop().unwrap();
        assert_eq!(
            (&last["error_name"], &last["key_id"]),
            (&json!(error), &json!(key))
        );
        assert_eq!(last["outcome"], "refused");
    }
    trail.assert_chain();
}

#[test]
fn the_subject_of_the_client_certificate_is_recorded() {
    let mut trail = None;
    let proxy = Proxy::start_with(|setup| {
        setup.require_client_certificates();
        trail = Some(setup.audit(""));
    });
    let identity = proxy.setup.client_authority.client(KMS_SUBJECT);
    let authority = proxy.setup.authority.der();
    let client = tls_client(
        authority,
        rustls::ALL_VERSIONS,
        Some(&identity),
        &["http/1.1"],
    );
    let body = encrypt_body(b"x");
    let request = proxy
        .caller(&PAYMENTS)
        .request("encrypt", "orders", body.to_string());
    let mut connection = Connection::open(proxy.server, client).unwrap();
    connection.exchange(&request).ok();
    let line = trail.unwrap().request(&body);
    let subject = line["client_subject"].as_str().unwrap();
    assert!(subject.contains(&format!("CN={KMS_SUBJECT}")), "{subject}");
}

#[test]
fn text_from_a_caller_stays_within_its_line() {
    let (proxy, trail) = audited("");
    let evil = "a\nb\r\n{\"v\":1,\"seq\":99}\u{2028}\u{1b}[2J\u{202e}\u{0}é\u{1F600}\"\\";
    let mut body = encrypt_body(b"x");
    body["requestMetadata"]["awsPrincipalArn"] = json!(evil);
    body["requestMetadata"][evil] = json!([evil]);
    body["requestMetadata"]["filler"] = json!("y".repeat(1_000));
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &body)
        .ok();
    let line = trail.request(&body);
    assert_eq!(line["request_metadata"], body["requestMetadata"]);
    let text = fs::read(trail.path()).unwrap();
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
    assert!(text.iter().all(is_plain), "printable ASCII only");
    trail.assert_chain();
}

#[test]
fn changes_of_state_of_the_proxy_are_recorded() {
    let mut trail = None;
    let (mut proxy, control) = faulty_with(|setup| trail = Some(setup.audit("")));
    let trail = trail.unwrap();
    let state = |state| {
        let StoreName { prefix, region, .. } = RETAIL;
        format!("path_prefix = {prefix:?}\nregion = {region:?}\nstate = {state:?}")
    };
    proxy.reconfigure(|setup| setup.edit(&state("enabled"), &state("disabled")));
    let switch = trail.wait_for_event("kill_switch");
    assert_eq!(
        (&switch["key_store"], &switch["state"]),
        (&json!("retail"), &json!("disabled"))
    );
    let reload = trail.wait_for_event("reload");
    assert_eq!(reload["state"], "applied");
    assert!(
        reload["reason"]
            .as_str()
            .unwrap()
            .contains("key_store.retail"),
        "{reload}"
    );
    fs::write(proxy.setup.directory.join("config.toml"), "[server").unwrap();
    trail.wait_for("a rejected reload", |line| {
        line["event"] == "reload" && line["state"] == "refused"
    });
    // A slow connection to the HSM at the start is also recorded as failed and usable.
    let mut last = reload["seq"].as_u64().unwrap();
    for (is_removed, state) in [(true, "failed"), (false, "usable")] {
        control.set_removed(is_removed);
        let line = trail.wait_for(state, |line| {
            let is_of_hsm = line["event"] == "hsm_state" && line["hsm"] == "hsm-a";
            is_of_hsm && line["state"] == state && line["seq"].as_u64().unwrap() > last
        });
        last = line["seq"].as_u64().unwrap();
    }
    proxy.daemon.signal(Signal::TERM);
    assert!(proxy.daemon.wait().success());
    let lines = trail.lines();
    assert_eq!(lines[0]["kind"], "start");
    assert!(lines.iter().any(|line| line["kind"] == "stop"));
    trail.assert_chain();
}

#[test]
fn the_hsm_signs_the_chain_by_lines_by_time_and_at_the_end() {
    let (mut proxy, trail) = audited("checkpoint = { lines = 5, interval = \"1s\" }");
    let payments = proxy.caller(&PAYMENTS);
    for _ in 0..12 {
        payments.encrypt("orders", b"x");
    }
    proxy.await_metric(
        "xks_audit_checkpoints_total",
        &[("outcome", "sealed")],
        |n| n >= 2.0,
    );
    proxy.daemon.signal(Signal::TERM);
    assert!(proxy.daemon.wait().success());
    let lines = trail.lines();
    let checkpoints: Vec<&Value> = lines
        .iter()
        .filter(|line| line["kind"] == "checkpoint")
        .collect();
    for checkpoint in &checkpoints {
        assert_eq!(
            (&checkpoint["hsm"], &checkpoint["key"]),
            (&json!("hsm-a"), &json!(AUDIT_KEY))
        );
        let length = |member: &str| checkpoint[member].as_str().unwrap().len() / 2;
        assert!(
            matches!(length("iv"), 12 | 16) && length("sealed") == 16,
            "{checkpoint}"
        );
        let through = checkpoint["through"].as_u64().unwrap();
        let line = lines.iter().find(|line| line["seq"] == through).unwrap();
        assert_eq!(line["hash"], checkpoint["head"]);
    }
    let last = checkpoints.last().unwrap()["through"].as_u64().unwrap();
    let stop = lines.iter().find(|line| line["kind"] == "stop").unwrap();
    assert!(
        stop["seq"].as_u64().unwrap() <= last,
        "the last checkpoint includes the stop"
    );
    trail.assert_chain();
}

#[test]
fn a_checkpoint_without_a_signature_contains_the_reason() {
    let mut trail = None;
    let (proxy, control) = faulty_with(|setup| {
        trail = Some(
            setup.audit("checkpoint = { lines = 3, interval = \"1s\", seal_timeout = \"500ms\" }"),
        );
    });
    let trail = trail.unwrap();
    control.set_removed(true);
    proxy.caller(&PAYMENTS).health();
    let unsigned = trail.wait_for("a checkpoint without an HSM signature", |line| {
        line["unsealed"].is_string()
    });
    assert!(
        unsigned["unsealed"].as_str().unwrap().contains("hsm-a"),
        "{unsigned}"
    );
    control.set_removed(false);
    trail.wait_for("a later checkpoint with an HSM signature", |line| {
        line["sealed"].is_string() && line["through"].as_u64() > unsigned["through"].as_u64()
    });
}

#[test]
fn a_denial_names_its_rules_and_an_observed_denial_is_recorded_as_served() {
    for (mode, status, outcome) in [("enforce", 403, "refused"), ("observe", 200, "ok")] {
        let mut trail = None;
        let proxy = Proxy::start_with(|setup| {
            let rules = "@id(\"all\") permit(principal, action, resource);\n\
                         @id(\"no-orders\") forbid(principal, action == Xks::Action::\"Decrypt\", resource);";
            let file = setup.directory.join("rules.cedar");
            fs::write(&file, rules).unwrap();
            let table = format!("[policy]\nengine = \"cedar\"\npath = {file:?}\nmode = {mode:?}\n");
            setup.edit("[server]\n", &format!("{table}[server]\n"));
            trail = Some(setup.audit(""));
        });
        let (payments, trail) = (proxy.caller(&PAYMENTS), trail.unwrap());
        let body = encrypt_body(b"x");
        let encrypted = payments.call("encrypt", "orders", &body).ok();
        assert_eq!(trail.request(&body)["policies"], json!(["all"]));
        let body = decrypt_body(&encrypted);
        assert_eq!(payments.call("decrypt", "orders", &body).status, status);
        let line = trail.request(&body);
        assert_eq!(
            (&line["policies"], &line["outcome"]),
            (&json!(["no-orders"]), &json!(outcome))
        );
        assert!(
            line["reason"]
                .as_str()
                .unwrap()
                .contains("forbidden by no-orders"),
            "{line}"
        );
        if mode == "enforce" {
            assert_eq!(line["error_name"], "AccessDeniedException");
            assert_eq!(trail.wait_for_event("denied")["key_store"], "payments");
        }
    }
}

#[test]
fn a_client_that_disconnects_before_the_response_is_recorded() {
    let mut trail = None;
    let (proxy, control) = faulty_with(|setup| {
        trail = Some(setup.audit(""));
        // No health check hangs at the same time.
        setup.set("health", "interval", "\"45s\"");
    });
    let trail = trail.unwrap();
    let body = encrypt_body(b"x");
    control.hang(Function::Encrypt, true);
    let request = proxy
        .caller(&PAYMENTS)
        .request("encrypt", "orders", body.to_string());
    let before = control.calls(Function::Encrypt);
    let mut connection = proxy.connect();
    connection.send(&request.bytes()).unwrap();
    crate::harness::metrics::eventually("a call of the HSM", || {
        (control.calls(Function::Encrypt) > before).then_some(())
    });
    drop(connection);
    proxy.await_metric("xks_connections", &[("listener", "server")], |n| n == 0.0);
    control.clear_faults();
    let line = trail.wait_for("the line of the disconnected client", |line| {
        line["request_metadata"]["kmsRequestId"] == body["requestMetadata"]["kmsRequestId"]
    });
    assert_eq!(
        (&line["outcome"], &line["status"], &line["hsm_calls"]),
        (&json!("client_disconnected"), &Value::Null, &json!(1))
    );
    // The request was completed, so the HSM and the key version are known.
    assert_eq!(
        (&line["hsm"], &line["key_version"]),
        (&json!("hsm-a"), &json!(1))
    );
    let access = proxy.access_line(&body);
    assert_eq!(
        (&access["outcome"], &access["status"], &access["level"]),
        (&json!("client_disconnected"), &Value::Null, &json!("WARN"))
    );
    for (name, label) in [
        ("xks_requests_total", ("outcome", "client_disconnected")),
        ("xks_objective_requests_total", ("met", "false")),
    ] {
        assert_eq!(proxy.metric(name, &[label]), Some(1.0), "{name}");
    }
}
