//! The access line of each request: its fields, and the data that it must never contain.

use serde_json::{Value, json};

use crate::harness::token::PIN;
use crate::harness::wire::{base64, decrypt_body, encrypt_body, plain_body, set, unset};
use crate::harness::{PAYMENTS, PAYMENTS_NEXT, Proxy};

#[test]
fn text_from_a_caller_cannot_forge_a_log_line() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let mut body = encrypt_body(b"x");
    let forged = "id\n{\"message\":\"forged\"}\r\n\u{1b}[31m\u{2028}\u{0}";
    body["requestMetadata"]["kmsRequestId"] = json!(forged);
    payments.call("encrypt", "orders", &body).ok();
    assert_eq!(
        proxy.access_line(&body)["kms_request_id"],
        forged,
        "one line, the text intact"
    );
    let log = proxy.daemon.log();
    assert!(
        !log.iter()
            .any(|line| line.starts_with("{\"message\":\"forged\"")),
        "{log:?}"
    );
}

#[test]
fn the_reason_is_in_the_log_but_not_in_the_response() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let unsigned = payments.unsigned("metadata", "orders", plain_body("metadata").to_string());
    let stale = payments.signer.shifted(-6).sign(&unsigned);
    let response = proxy.send(&stale).json();
    let is_rejected = |line: &Value| line["message"] == "request" && line["status"] == 401;
    let line = proxy.daemon.wait_for("the rejected request", is_rejected);
    assert_eq!(line["error_name"], "AuthenticationFailedException");
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{line}");
    assert!(
        !response.to_string().contains(reason),
        "{response} contains {reason:?}"
    );
}

#[test]
fn the_access_line_contains_the_request_its_caller_and_its_durations() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let mut body = encrypt_body(b"x");
    body["requestMetadata"]["kmsViaService"] = json!("s3");
    body["requestMetadata"]["awsSourceVpc"] = json!("vpc-1");
    body["requestMetadata"]["awsSourceVpce"] = json!("vpce-2");
    payments.call("encrypt", "orders", &body).ok();
    let line = proxy.access_line(&body);
    let metadata = &body["requestMetadata"];
    for (field, expected) in [
        ("level", json!("INFO")),
        ("operation", json!("encrypt")),
        ("key_store", json!("payments")),
        ("external_key_id", json!("orders")),
        ("status", json!(200)),
        ("kms_operation", metadata["kmsOperation"].clone()),
        ("aws_principal_arn", metadata["awsPrincipalArn"].clone()),
        ("kms_key_arn", metadata["kmsKeyArn"].clone()),
        ("kms_via_service", json!("s3")),
        ("aws_source_vpc", json!("vpc-1")),
        ("aws_source_vpce", json!("vpce-2")),
        ("access_key_id", json!(PAYMENTS.access_key_id)),
        ("hsm", json!("hsm-a")),
    ] {
        assert_eq!(line[field], expected, "{field} in {line}");
    }
    for field in ["duration_us", "queue_us", "device_us"] {
        assert!(line[field].is_u64(), "{field} in {line}");
    }
    assert!(
        line["duration_us"].as_u64() >= line["device_us"].as_u64(),
        "{line}"
    );
    assert!(
        line["timestamp"].is_string() && line["peer"].is_string(),
        "{line}"
    );
}

#[test]
fn a_failed_request_is_logged_with_its_error() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let body = plain_body("metadata");
    payments
        .call("metadata", "no-such-key", &body)
        .assert_error(404, "KeyNotFoundException");
    let line = proxy.access_line(&body);
    assert_eq!(line["error_name"], "KeyNotFoundException");
    assert_eq!(
        (&line["status"], &line["external_key_id"]),
        (&json!(404), &json!("no-such-key"))
    );
    assert!(
        !line["reason"].as_str().unwrap_or_default().is_empty(),
        "{line}"
    );
}

#[test]
fn no_plaintext_secret_or_pin_is_ever_logged() {
    let proxy = Proxy::start_with(|setup| setup.set("log", "level", "\"trace\""));
    let payments = proxy.caller(&PAYMENTS);
    let plaintext = b"a plaintext that must not be logged";
    let encrypted = payments.encrypt("orders", plaintext);
    payments
        .call("decrypt", "orders", &decrypt_body(&encrypted))
        .ok();
    let mut damaged = decrypt_body(&encrypted);
    damaged["authenticationTag"] = json!(base64([0; 16]));
    payments
        .call("decrypt", "orders", &damaged)
        .assert_error(400, "InvalidCiphertextException");
    payments.send(
        "encrypt",
        "orders",
        encrypt_body(plaintext).to_string().replace('}', ""),
    );
    proxy.access_line(&damaged);
    let log = proxy.daemon.log().join("\n");
    let (text, wire) = (std::str::from_utf8(plaintext).unwrap(), base64(plaintext));
    let pin = format!("\"{PIN}\"");
    for secret in [
        text,
        &wire,
        &wire[..24],
        PAYMENTS.secret,
        PAYMENTS_NEXT.secret,
        &pin,
    ] {
        assert!(!log.contains(secret), "the log contains {secret}");
    }
}

/// Calls with each of these bodies, then once so that the call fails. Returns the ids and sample ratios of the successes that have a line.
fn logged(proxy: &Proxy, bodies: &[Value]) -> Vec<(Value, Value)> {
    let before = proxy.daemon.log().len();
    let payments = proxy.caller(&PAYMENTS);
    for body in bodies {
        payments.call("encrypt", "orders", body).ok();
    }
    let failing = plain_body("metadata");
    let response = payments.call("metadata", "no-such-key", &failing);
    response.assert_error(404, "KeyNotFoundException");
    // A failure always has a line. Lines of earlier requests are written before it.
    let failed = proxy.access_line(&failing);
    assert!(failed["sample"].is_null(), "{failed}");
    let lines = proxy.daemon.log().split_off(before);
    let lines = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["message"] == "request" && line["status"] == 200)
        .map(|line| (line["kms_request_id"].clone(), line["sample"].clone()))
        .collect()
}

#[test]
fn successes_are_sampled_and_failures_are_not() {
    let mut proxy = Proxy::start_with(|setup| setup.set("log", "sample_successes", "0.5"));
    // With this number, it is practically impossible that none or all are sampled.
    let bodies: Vec<Value> = (0..64).map(|_| encrypt_body(b"x")).collect();
    let chosen = logged(&proxy, &bodies);
    assert!((1..64).contains(&chosen.len()), "{chosen:?}");
    assert!(chosen.iter().all(|(_, share)| *share == json!(0.5)));
    assert_eq!(
        chosen,
        logged(&proxy, &bodies),
        "sampling depends on the id only"
    );
    proxy.reconfigure(|setup| setup.set("log", "sample_successes", "0"));
    assert!(proxy.has_changed("log.sample_successes", "changed"));
    assert_eq!(logged(&proxy, &bodies), []);
    proxy.reconfigure(|setup| setup.unset("log", "sample_successes"));
    let all = logged(&proxy, &bodies);
    assert_eq!(all.len(), 64);
    assert!(all.iter().all(|(_, share)| share.is_null()), "{all:?}");
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[test]
fn the_trace_id_of_a_request_is_in_its_line() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let line_with = |fields: &[&str]| {
        let body = encrypt_body(b"x");
        let mut request = payments.request("encrypt", "orders", body.to_string());
        for field in fields {
            request = request.with("traceparent", field);
        }
        proxy.send(&request).ok();
        proxy.access_line(&body)
    };
    let good = format!("00-{TRACE}-{PARENT}-01");
    let line = line_with(&[&good]);
    assert_eq!(line["trace_id"], TRACE, "{line}");
    assert_eq!(line["parent_id"], PARENT, "{line}");
    assert_eq!(line["trace_sampled"], true, "{line}");
    let unsampled = line_with(&[&good.replace("-01", "-00")]);
    assert_eq!(unsampled["trace_sampled"], false, "{unsampled}");
    for malformed in [
        vec!["00-forged-trace"],
        vec![&good.to_uppercase()],
        vec![&good.replacen("00", "ff", 1)],
        vec![&good, &good],
        vec![&format!("{good}-{}", "f".repeat(4096))],
    ] {
        let line = line_with(&malformed);
        for field in ["trace_id", "parent_id", "trace_sampled"] {
            assert!(line[field].is_null(), "{malformed:?}: {line}");
        }
    }
    let log = proxy.daemon.log().join("\n");
    assert!(
        !log.contains("forged-trace"),
        "a malformed field is in the log"
    );
}

#[test]
fn text_from_callers_is_escaped_in_every_log_format() {
    // Characters of ASCII, C1 and Unicode that start a line or control a terminal.
    let hostile = "a\r\n{\"message\":\"forged\"}\n<0>\u{1b}[31m\u{9b}31m\u{7f}\u{85}\u{2028}\u{2029}\u{202e}\u{0}é€😀";
    for format in ["json", "text"] {
        let proxy = Proxy::start_with(|setup| {
            setup.set("log", "format", &format!("{format:?}"));
            setup.set("log", "level", "\"trace\"");
        });
        let payments = proxy.caller(&PAYMENTS);
        let mut body = encrypt_body(b"x");
        for field in [
            "awsPrincipalArn",
            "kmsKeyArn",
            "kmsViaService",
            "awsSourceVpc",
            "awsSourceVpce",
            "kmsOperation",
            "futureField",
        ] {
            body["requestMetadata"][field] = json!(hostile);
        }
        body["requestMetadata"][hostile] = json!({ hostile: [hostile] });
        payments.call("encrypt", "orders", &body).ok();
        let unsigned = payments.unsigned("encrypt", "orders", body.to_string());
        let forged = unsigned.with("authorization", "AWS4-HMAC-SHA256 \u{9b}31m\u{2028}é");
        assert!(proxy.send(&forged).status >= 400);
        let garbage = set(&body, "requestMetadata", json!(hostile));
        payments.call("encrypt", "orders", &garbage);
        let last = encrypt_body(b"x");
        payments.call("encrypt", "orders", &last).ok();
        let id = last["requestMetadata"]["kmsRequestId"].clone();
        proxy
            .daemon
            .wait_for("the last request", |line| line["kms_request_id"] == id);
        let log = proxy.daemon.log();
        let requests = log.iter().filter(|line| line.contains("duration_us"));
        assert_eq!(requests.count(), 4, "{log:?}");
        for line in &log {
            let hidden = |c: char| c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c);
            assert!(!line.chars().any(hidden), "{line:?}");
            let starts = line.starts_with(if format == "json" {
                "{\"timestamp"
            } else {
                "20"
            });
            assert!(starts, "{line:?}");
        }
    }
}

/// The requestMetadata is read before the invalid field, so that an operator finds the rejection by its kmsRequestId.
#[test]
fn a_body_with_another_bad_field_has_its_metadata_in_log_and_audit_trail() {
    let mut trail = None;
    let proxy = Proxy::start_with(|setup| trail = Some(setup.audit("")));
    let trail = trail.unwrap();
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = decrypt_body(&payments.encrypt("orders", b"x"));
    for (operation, good, field, status) in [
        ("encrypt", encrypt_body(b"x"), "plaintext", 400),
        ("encrypt", encrypt_body(b"x"), "encryptionAlgorithm", 400),
        ("decrypt", encrypted, "authenticationTag", 400),
    ] {
        let body = unset(&good, field);
        let answer = payments.call(operation, "orders", &body);
        assert_eq!(answer.status, status, "{field}");
        assert_eq!(proxy.access_line(&body)["status"], status);
        assert_eq!(trail.request(&body)["outcome"], "refused");
    }
}
