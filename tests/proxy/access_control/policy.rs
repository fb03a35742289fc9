//! The authorization policy: permits and denials, their reasons for the operator only, and changes while the proxy runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::command::run_with;
use crate::harness::setup::Setup;
use crate::harness::wire::{decrypt_body, encrypt_body, plain_body, set};
use crate::harness::{PAYMENTS, Proxy, RETAIL};

const ALICE: &str = "@id(\"alice\") permit(principal == Xks::Principal::\"arn:aws:iam::123456789012:user/Alice\", action, resource);";

fn rules(setup: &mut Setup, text: &str, more: &str) -> PathBuf {
    let directory = setup.directory.join("policy");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("rules.cedar");
    fs::write(&file, text).unwrap();
    let table = format!("[policy]\nengine = \"cedar\"\npath = {directory:?}\n{more}");
    setup.edit("[server]\n", &format!("{table}[server]\n"));
    file
}

fn with_rules(text: &str, more: &str) -> (Proxy, PathBuf) {
    let mut file = None;
    let proxy = Proxy::start_with(|setup| file = Some(rules(setup, text, more)));
    (proxy, file.unwrap())
}

fn with_principal(body: &Value, principal: &str) -> Value {
    let mut metadata = body["requestMetadata"].clone();
    metadata["awsPrincipalArn"] = json!(principal);
    set(body, "requestMetadata", metadata)
}

/// Replaces the file, and waits until the new rules are active.
fn replace(proxy: &Proxy, file: &Path, text: &str) {
    let before = proxy.reloads("applied");
    fs::write(file.with_extension("new"), text).unwrap();
    fs::rename(file.with_extension("new"), file).unwrap();
    proxy.await_reload("applied", before);
}

#[test]
fn permitted_principals_are_served_and_others_are_denied_without_a_reason() {
    let (proxy, _) = with_rules(ALICE, "");
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", b"x");
    payments
        .call("decrypt", "orders", &decrypt_body(&encrypted))
        .ok();
    payments
        .call("metadata", "orders", &plain_body("metadata"))
        .ok();
    for (operation, body) in [
        ("encrypt", encrypt_body(b"x")),
        ("decrypt", decrypt_body(&encrypted)),
        ("metadata", plain_body("metadata")),
    ] {
        let body = with_principal(&body, "arn:aws:iam::123456789012:user/Mallory");
        let response = payments.call(operation, "orders", &body);
        response.assert_error(403, "AccessDeniedException");
        assert_eq!(response.json()["errorMessage"], "access denied");
        let line = proxy.access_line(&body);
        assert_eq!(line["reason"], "policy: not permitted", "{line}");
    }
    payments.health();
    let count = |decision| {
        proxy.metric(
            "xks_policy_decisions_total",
            &[("store", "payments"), ("decision", decision)],
        )
    };
    assert_eq!((count("allowed"), count("denied")), (Some(3.0), Some(3.0)));
}

#[test]
fn sessions_of_a_role_with_a_path_match_the_role() {
    let role = "Xks::Role::\"arn:aws:iam::123456789012:role/team/Contractors\"";
    let rules = format!(
        "@id(\"all\") permit(principal, action, resource);\n\
         @id(\"contractors\") forbid(principal in {role}, action, resource);"
    );
    let (proxy, _) = with_rules(&rules, "");
    let payments = proxy.caller(&PAYMENTS);
    for (principal, status) in [
        (
            "arn:aws:sts::123456789012:assumed-role/Contractors/bob",
            403,
        ),
        ("arn:aws:iam::123456789012:role/team/Contractors", 403),
        ("arn:aws:sts::123456789012:assumed-role/Employees/bob", 200),
        (
            "arn:aws:sts::999922223333:assumed-role/Contractors/bob",
            200,
        ),
    ] {
        let body = with_principal(&encrypt_body(b"x"), principal);
        let response = payments.call("encrypt", "orders", &body);
        assert_eq!(response.status, status, "{principal}");
    }
}

#[test]
fn the_log_names_the_rule_that_forbids() {
    let rules = format!(
        "{ALICE}\n@id(\"not-the-ledger\") forbid(principal, action, resource == Xks::Key::\"payments/ledger\");"
    );
    let (proxy, _) = with_rules(&rules, "");
    let payments = proxy.caller(&PAYMENTS);
    payments.encrypt("orders", b"x");
    let body = encrypt_body(b"x");
    payments
        .call("encrypt", "ledger", &body)
        .assert_error(403, "AccessDeniedException");
    assert_eq!(
        proxy.access_line(&body)["reason"],
        "policy: forbidden by not-the-ledger"
    );
}

#[test]
fn checks_are_in_the_order_of_the_specification() {
    let (proxy, _) = with_rules("@id(\"nobody\") forbid(principal, action, resource);", "");
    let payments = proxy.caller(&PAYMENTS);
    let name =
        |key: &str| payments.call("encrypt", key, &encrypt_body(b"x")).json()["errorName"].clone();
    assert_eq!(
        name("no-such-key"),
        "KeyNotFoundException",
        "key before policy"
    );
    assert_eq!(
        name("switched-off"),
        "AccessDeniedException",
        "policy before state"
    );
    assert_eq!(name("absent"), "AccessDeniedException", "policy before HSM");
}

#[test]
fn mode_observe_serves_and_logs_denials() {
    let (mut proxy, _) = with_rules(
        "@id(\"nobody\") forbid(principal, action, resource);",
        "mode = \"observe\"\n",
    );
    // Successes are not logged, except this one.
    proxy.reconfigure(|setup| setup.set("log", "sample_successes", "0"));
    let body = encrypt_body(b"x");
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &body)
        .ok();
    let id = &body["requestMetadata"]["kmsRequestId"];
    let line = proxy
        .daemon
        .wait_for("the denial that was not enforced", |line| {
            line["message"] == "the policy would have denied this request"
                && line["kms_request_id"] == *id
        });
    assert_eq!(line["policies"], "nobody");
    assert_eq!(proxy.access_line(&body)["status"], 200);
    let labels = [("store", "payments"), ("decision", "would_deny")];
    assert_eq!(
        proxy.metric("xks_policy_decisions_total", &labels),
        Some(1.0)
    );
}

#[test]
fn rules_are_replaced_while_the_proxy_runs() {
    let (proxy, file) = with_rules(ALICE, "");
    let status = || {
        proxy
            .caller(&PAYMENTS)
            .call("encrypt", "orders", &encrypt_body(b"x"))
            .status
    };
    assert_eq!(status(), 200);
    replace(
        &proxy,
        &file,
        "@id(\"bob\") permit(principal == Xks::Principal::\"bob\", action, resource);",
    );
    assert_eq!(status(), 403);
    assert!(proxy.has_changed("policy", "changed"));
    // A second file beside the first one.
    let before = proxy.reloads("applied");
    fs::write(file.with_file_name("more.cedar"), ALICE).unwrap();
    proxy.await_reload("applied", before);
    assert_eq!(status(), 200);
    // Half a rule changes nothing.
    let rejected = proxy.reloads("refused");
    fs::write(&file, "permit(princ").unwrap();
    proxy.await_reload("refused", rejected);
    assert_eq!(status(), 200);
    proxy.daemon.wait_for("the place of the error", |line| {
        line["fault"]
            .as_str()
            .is_some_and(|fault| fault.contains("rules.cedar (line 1)"))
    });
}

#[test]
fn unusual_metadata_is_evaluated_and_cannot_forge_a_log_line() {
    let (proxy, _) = with_rules("@id(\"all\") permit(principal, action, resource);", "");
    let payments = proxy.caller(&PAYMENTS);
    for (field, value) in [
        (
            "awsPrincipalArn",
            json!("arn:\u{1F511}\n{\"message\":\"forged\"}"),
        ),
        ("kmsViaService", json!("a\r\nb")),
        ("awsSourceVpc", json!("\u{0}\u{7f}")),
        (
            "unheardOf",
            json!({ "deep": [1, { "er": null }], "long": "x".repeat(40_000) }),
        ),
    ] {
        let body = encrypt_body(b"x");
        let mut metadata = body["requestMetadata"].clone();
        metadata[field] = value;
        let body = set(&body, "requestMetadata", metadata);
        payments.call("encrypt", "orders", &body).ok();
        proxy.access_line(&body);
    }
    let forged = |line: &String| {
        serde_json::from_str::<Value>(line).is_ok_and(|line| line["message"] == "forged")
    };
    assert!(!proxy.daemon.log().iter().any(forged));
}

fn run(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let ran = run_with(arguments, input);
    (ran.code, ran.stdout, ran.stderr)
}

#[test]
fn the_commands_report_the_decision_of_the_policy() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let file = rules(&mut setup, ALICE, "mode = \"observe\"\n");
    let config = setup.write();
    let config = config.to_str().unwrap();
    let (code, stdout, _) = run(&["policy", "check", "--config", config], "");
    assert_eq!((code, stdout.trim()), (Some(0), "1 rules: ok"));
    let explain = |key: &str, body: &Value| {
        let arguments = [
            "policy",
            "explain",
            "--config",
            config,
            "--store",
            "payments",
            "--key",
            key,
            "--operation",
            "encrypt",
            "--request",
            "-",
        ];
        run(&arguments, &body.to_string())
    };
    let (code, stdout, _) = explain("orders", &encrypt_body(b"x"));
    assert_eq!((code, stdout.trim()), (Some(0), "permitted by alice"));
    let bob = with_principal(&encrypt_body(b"x"), "bob");
    let (code, stdout, _) = explain("orders", &bob["requestMetadata"]);
    assert_eq!(
        (code, stdout.trim()),
        (Some(1), "not permitted: no rule permits it")
    );
    let (code, _, stderr) = explain("no-such-key", &bob);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("no-such-key"), "{stderr}");
    let (code, _, stderr) = explain("orders", &json!({ "requestMetadata": {} }));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("awsPrincipalArn"), "{stderr}");
    fs::write(
        &file,
        "permit(principal, action, resource) when { context.nonsense };",
    )
    .unwrap();
    let (code, _, stderr) = run(&["policy", "check", "--config", config], "");
    assert_eq!(code, Some(78));
    assert!(stderr.contains("nonsense"), "{stderr}");
    let (code, _, _) = run(&["check-config", "--config", config], "");
    assert_eq!(code, Some(78));
}

#[test]
fn a_rule_for_one_store_does_not_apply_to_another() {
    let rules = "@id(\"retail\") permit(principal, action, resource in Xks::KeyStore::\"retail\");";
    let (proxy, _) = with_rules(rules, "");
    proxy.caller(&RETAIL).encrypt("stock", b"x");
    let response = proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &encrypt_body(b"x"));
    response.assert_error(403, "AccessDeniedException");
}

#[test]
fn relative_paths_are_relative_to_the_configuration_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    rules(&mut setup, ALICE, "");
    let absolute = format!("{:?}", directory.path().join("policy"));
    setup.edit(&absolute, "\"policy\"");
    setup.write();
    let name = directory.path().file_name().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(["policy", "check", "--config"])
        .arg(Path::new(name).join("config.toml"))
        .current_dir(directory.path().parent().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
