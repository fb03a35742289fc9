//! Key policies, statement by statement.

use super::*;
use serde_json::json;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/k";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";

fn judge(statements: Value, principal: &str, action: &str) -> Verdict {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    Policy::parse(&policy.to_string())
        .unwrap()
        .judge(principal, action, KEY)
}

fn statement(effect: &str, principal: Value, action: &str) -> Value {
    json!({ "Effect": effect, "Principal": principal, "Action": action, "Resource": "*" })
}

#[test]
fn the_default_policy_lets_the_account_and_nobody_else() {
    let policy = Policy::parse(&default_policy("111122223333")).unwrap();
    assert_eq!(policy.judge(ALICE, "Encrypt", KEY), Verdict::Allowed);
    assert_eq!(
        policy.judge("arn:aws:iam::444455556666:user/eve", "Encrypt", KEY),
        Verdict::Silent
    );
    assert!(policy.not_understood().is_empty());
}

#[test]
fn principals_actions_and_resources() {
    let alice = json!({ "AWS": [ALICE] });
    let to = |action: &str, asked: &str| {
        judge(
            json!([statement("Allow", alice.clone(), action)]),
            ALICE,
            asked,
        )
    };
    assert_eq!(to("kms:Encrypt", "Encrypt"), Verdict::Allowed);
    assert_eq!(to("KMS:encrypt*", "Encrypt"), Verdict::Allowed);
    assert_eq!(
        to("kms:Generate*", "GenerateDataKeyWithoutPlaintext"),
        Verdict::Allowed
    );
    assert_eq!(
        to("kms:GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
        Verdict::Silent
    );
    assert_eq!(to("kms:*", "Decrypt"), Verdict::Allowed);
    assert_eq!(to("s3:*", "Decrypt"), Verdict::Silent);
    let session = "arn:aws:sts::111122223333:assumed-role/app/s1";
    let role = json!({ "AWS": "arn:aws:iam::111122223333:role/app" });
    assert_eq!(
        judge(json!(statement("Allow", role, "kms:*")), session, "Encrypt"),
        Verdict::Allowed
    );
    let service = json!({ "Service": "s3.amazonaws.com" });
    assert_eq!(
        judge(
            json!([statement("Allow", service, "kms:*")]),
            ALICE,
            "Encrypt"
        ),
        Verdict::Silent
    );
    let mut other = statement("Allow", alice, "kms:*");
    other["Resource"] = json!("arn:aws:kms:*:key/other");
    assert_eq!(judge(json!([other]), ALICE, "Encrypt"), Verdict::Silent);
}

#[test]
fn a_deny_wins() {
    let statements = json!([
        statement("Allow", json!("*"), "kms:*"),
        statement("Deny", json!({ "AWS": ALICE }), "kms:Decrypt"),
    ]);
    assert_eq!(judge(statements.clone(), ALICE, "Decrypt"), Verdict::Denied);
    assert_eq!(judge(statements, ALICE, "Encrypt"), Verdict::Allowed);
}

#[test]
fn what_is_not_understood_is_said_and_never_lets_anybody() {
    let mut allow = statement("Allow", json!("*"), "kms:*");
    allow["Condition"] = json!({ "Bool": { "aws:SecureTransport": "true" } });
    let mut deny = statement("Deny", json!("*"), "kms:Decrypt");
    deny["Condition"] = json!({});
    assert_eq!(
        judge(json!([allow.clone()]), ALICE, "Encrypt"),
        Verdict::Silent
    );
    assert_eq!(
        judge(
            json!([statement("Allow", json!("*"), "kms:*"), deny.clone()]),
            ALICE,
            "Decrypt"
        ),
        Verdict::Denied
    );
    let text = json!({ "Statement": [allow, deny] }).to_string();
    let said = Policy::parse(&text).unwrap().not_understood();
    assert!(
        said.len() == 2 && said.iter().all(|line| line.contains("Condition")),
        "{said:?}"
    );
}

#[test]
fn what_is_no_policy() {
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"Statement":7}"#,
        r#"{"Version":"1","Statement":[]}"#,
        r#"{"Statement":[{"Effect":"Maybe","Principal":"*","Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":7,"Resource":"*"}]}"#,
    ] {
        assert!(Policy::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn wildcards() {
    for (pattern, text, does) in [
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a*c", "abb", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("*a*", "xxaxx", true),
        ("", "", true),
        ("", "a", false),
        ("a*b*c", "aXbYbZc", true),
    ] {
        assert_eq!(matches(pattern, text), does, "{pattern} {text}");
    }
}
