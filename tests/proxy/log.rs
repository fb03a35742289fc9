//! The access line of each request: what the operator learns, and what must never be written down.

use serde_json::{Value, json};

use crate::harness::token::PIN;
use crate::harness::wire::{base64, decrypt_body, encrypt_body, plain_body};
use crate::harness::{PAYMENTS, PAYMENTS_NEXT, Proxy};

#[test]
fn a_string_of_the_caller_cannot_forge_a_log_line() {
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
fn the_operator_learns_why_and_the_caller_does_not() {
    let proxy = Proxy::start();
    let payments = proxy.caller(&PAYMENTS);
    let unsigned = payments.unsigned("metadata", "orders", plain_body("metadata").to_string());
    let stale = payments.signer.shifted(-6).sign(&unsigned);
    let told = proxy.send(&stale).json();
    let refused = |line: &Value| line["message"] == "request" && line["status"] == 401;
    let line = proxy.daemon.wait_for("the refused request", refused);
    assert_eq!(line["error_name"], "AuthenticationFailedException");
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "{line}");
    assert!(
        !told.to_string().contains(reason),
        "{told} tells {reason:?}"
    );
}

#[test]
fn the_access_line_tells_who_asked_for_what_and_how_long_it_took() {
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
