//! IAM in the KMS simulator, tested with boto3: identity policies, conditions and grants. The steps are in
//! `tests/proxy/kms_simulator/programs/principals.py`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::simulator::command;
use crate::harness::system::System;

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";

/// The callers: their names in the steps and their principals. Access keys and secrets are derived from the names.
const CALLERS: [(&str, &str); 15] = [
    ("root", "arn:aws:iam::111122223333:root"),
    ("admin", "arn:aws:iam::111122223333:user/admin"),
    ("alice", "arn:aws:iam::111122223333:user/alice"),
    ("alice-in-vpc", "arn:aws:iam::111122223333:user/alice"),
    ("alice-by-s3", "arn:aws:iam::111122223333:user/alice"),
    ("bob", "arn:aws:iam::111122223333:role/bob"),
    ("carol", "arn:aws:iam::444455556666:user/carol"),
    ("creator", "arn:aws:iam::111122223333:user/creator"),
    ("dave", "arn:aws:iam::444455556666:user/dave"),
    ("developer", "arn:aws:iam::111122223333:user/developer"),
    ("eve", "arn:aws:iam::111122223333:user/eve"),
    ("nobody", "arn:aws:iam::111122223333:user/nobody"),
    ("session", "arn:aws:sts::111122223333:assumed-role/app/s1"),
    ("untagger", "arn:aws:iam::111122223333:user/untagger"),
    ("watcher", "arn:aws:iam::111122223333:user/watcher"),
];

fn access_key(name: &str) -> String {
    format!("AKIA{:A<16}", name.replace('-', "").to_ascii_uppercase())
}

fn secret(name: &str) -> String {
    format!("{name:x<40}")
}

fn allow(action: Value, resource: &str) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": resource })
}

fn policy(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn with_condition(mut statement: Value, condition: Value) -> Value {
    statement["Condition"] = condition;
    statement
}

/// Returns the content of the principals file.
fn principals() -> Value {
    let arn = |path: &str| format!("arn:aws:iam::{ACCOUNT}:{path}");
    let other = |path: &str| format!("arn:aws:iam::{OTHER}:{path}");
    let use_keys = json!(["kms:Encrypt", "kms:Decrypt"]);
    let own_team =
        json!({ "StringEquals": { "aws:ResourceTag/team": "${aws:PrincipalTag/team}" } });
    let app_alias = json!({ "ForAnyValue:StringLike": { "kms:ResourceAliases": "alias/app-*" } });
    let only_cost = json!({ "ForAllValues:StringEquals": { "aws:TagKeys": ["cost"] }, "Null": { "aws:TagKeys": "false" } });
    let deny =
        json!({ "Effect": "Deny", "Action": ["kms:Decrypt", "kms:RetireGrant"], "Resource": "*" });
    json!({
        "principals": [
            { "arn": arn("user/admin"), "policies": [policy(&[allow(json!("kms:*"), "*")])] },
            { "arn": arn("user/alice"), "policies": [policy(&[allow(use_keys.clone(), "arn:aws:kms:*:111122223333:key/*")])] },
            { "arn": arn("role/bob") },
            { "arn": arn("user/creator"), "policies": [policy(&[
                with_condition(allow(json!(["kms:CreateKey", "kms:TagResource"]), "*"), only_cost),
            ])] },
            { "arn": arn("user/developer"), "tags": { "team": "payments" },
              "policies": [policy(&[with_condition(allow(use_keys.clone(), "*"), own_team)])] },
            { "arn": arn("user/eve"), "policies": [policy(&[allow(json!("kms:*"), "*")]), policy(&[deny])] },
            { "arn": arn("user/nobody"), "policies": [] },
            { "arn": arn("role/path/app"), "policies": [policy(&[with_condition(allow(use_keys.clone(), "*"), app_alias)])] },
            { "arn": arn("user/untagger"), "policies": [policy(&[allow(json!("kms:CreateKey"), "*")])] },
            { "arn": arn("user/watcher"), "policies": [policy(&[allow(json!("cloudwatch:ListMetrics"), "*")])] },
            { "arn": other("user/carol"), "policies": [policy(&[allow(json!(["kms:Encrypt", "kms:RetireGrant"]), "*")])] },
            { "arn": other("user/dave"), "policies": [] },
        ],
        "requests": [
            { "access_key_id": access_key("alice-in-vpc"), "context": { "aws:SourceVpce": "vpce-0123456789abcdef0" } },
            { "access_key_id": access_key("alice-by-s3"), "context": { "kms:ViaService": "s3.eu-west-1.amazonaws.com" } },
            { "access_key_id": access_key("service"), "context": { "aws:SourceArn": "arn:aws:dynamodb:eu-west-1:111122223333:table/t" } },
        ],
    })
}

fn callers() -> Vec<(&'static str, &'static str)> {
    let service = ("service", "dynamodb.amazonaws.com");
    CALLERS.into_iter().chain([service]).collect()
}

#[test]
fn identity_policies_conditions_and_grants() {
    let system = System::start(|options, directory| {
        let line = |(name, arn)| format!("{} {} {arn}\n", access_key(name), secret(name));
        let lines: Vec<String> = callers().into_iter().map(line).collect();
        let (credentials, file) = (
            directory.join("kms-credentials"),
            directory.join("kms-principals.json"),
        );
        fs::write(&credentials, lines.concat()).unwrap();
        fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, principals().to_string()).unwrap();
        options
            .with("--credentials", credentials.display())
            .with("--principals", file.display())
    });
    let mut facts = system.facts();
    for (name, arn) in callers() {
        facts["secrets"][name] = json!([access_key(name), secret(name), arn]);
    }
    system.run_program("principals.py", &[], &facts);
    // The proxy receives the role of a session, not the session.
    let is_session_request =
        |line: &Value| line["aws_principal_arn"] == format!("arn:aws:iam::{ACCOUNT}:role/path/app");
    system
        .proxy
        .daemon
        .wait_for("a request of the session", is_session_request);
}

/// Starts a simulator that must reject these files, and returns its exit code and its output.
fn run_rejected(credentials: &Path, principals: &Path) -> (Option<i32>, String) {
    let output = command()
        .args(["--listen", "127.0.0.1:0", "--credentials"])
        .arg(credentials)
        .arg("--principals")
        .arg(principals)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn an_invalid_principals_file_is_rejected_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = directory.path().join("credentials");
    let file = directory.path().join("principals.json");
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/alice");
    let line = format!("{} {} {arn}\n", access_key("alice"), secret("alice"));
    fs::write(&credentials, line).unwrap();
    let unknown = json!({ "StringMatches": { "aws:SourceVpc": "a" } });
    let unknown = policy(&[with_condition(allow(json!("kms:*"), "*"), unknown)]);
    for (text, reason) in [
        (
            json!({ "principals": [] }),
            "user/alice is in the credentials file but has no entry",
        ),
        (
            json!({ "principals": [{ "arn": arn, "policies": [unknown] }] }),
            "StringMatches",
        ),
        (json!([]), "not a list of principals"),
    ] {
        fs::write(&file, text.to_string()).unwrap();
        let (code, said) = run_rejected(&credentials, &file);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    let alone = command().arg("--principals").arg(&file).output().unwrap();
    assert_eq!(
        alone.status.code(),
        Some(2),
        "without credentials there are no callers"
    );
}
