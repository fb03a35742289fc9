//! Policies, statement by statement.

use serde_json::{Value, json};

use super::*;
use crate::simulator::wire::names::{account_of, is_service};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/k";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/app/s1";

fn judged(policy: &Policy, principal: &str, action: &str, resource: &str) -> Verdict {
    let tags = Pairs::from([("team".to_owned(), "k".to_owned())]);
    policy.judge(&Request {
        who: Who {
            principal,
            arn: role_of(principal).map_or(principal.into(), Into::into),
            account: account_of(principal).unwrap_or_default(),
            region: "eu-west-1",
            is_service: is_service(principal),
            tags: Some(&tags),
            given: &Given::default(),
            source: None,
        },
        action,
        resource,
        key: None,
        details: Details::default(),
    })
}

fn judge(statements: Value, principal: &str, action: &str) -> Verdict {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    let policy = Policy::parse(&policy.to_string(), PolicyKind::Key).unwrap();
    judged(&policy, principal, action, KEY)
}

fn statement(effect: &str, principal: Value, action: &str) -> Value {
    json!({ "Effect": effect, "Principal": principal, "Action": action, "Resource": "*" })
}

#[test]
fn the_default_policy_leaves_it_to_the_account_and_nobody_else() {
    let policy = Policy::parse(
        &default_policy("arn:aws:iam::111122223333:root"),
        PolicyKind::Key,
    )
    .unwrap();
    assert_eq!(
        judged(&policy, ALICE, "Encrypt", KEY),
        Verdict::AccountAllowed
    );
    let root = "arn:aws:iam::111122223333:root";
    assert_eq!(judged(&policy, root, "Encrypt", KEY), Verdict::Allowed);
    let eve = "arn:aws:iam::444455556666:user/eve";
    assert_eq!(judged(&policy, eve, "Encrypt", KEY), Verdict::Silent);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn principals_have_many_forms() {
    use Verdict::{AccountAllowed, Allowed, Silent};
    let gov = "arn:aws-us-gov:iam::111122223333:user/a";
    for (named, caller, verdict) in [
        (json!("*"), ALICE, Allowed),
        (json!({ "AWS": "*" }), ALICE, Allowed),
        (json!({ "AWS": ALICE }), ALICE, Allowed),
        (json!({ "AWS": [SESSION, ALICE] }), ALICE, Allowed),
        (json!({ "AWS": "111122223333" }), ALICE, AccountAllowed),
        (
            json!({ "AWS": "arn:aws:iam::111122223333:root" }),
            ALICE,
            AccountAllowed,
        ),
        (json!({ "AWS": ["111122223333", ALICE] }), ALICE, Allowed),
        (
            json!({ "AWS": "arn:aws:iam::111122223333:role/app" }),
            SESSION,
            Allowed,
        ),
        (json!({ "AWS": SESSION }), SESSION, Allowed),
        (
            json!({ "AWS": "arn:aws:sts::111122223333:assumed-role/app/s2" }),
            SESSION,
            Silent,
        ),
        (json!({ "AWS": "444455556666" }), ALICE, Silent),
        (
            json!({ "AWS": "arn:aws-us-gov:iam::111122223333:root" }),
            gov,
            AccountAllowed,
        ),
        (
            json!({ "AWS": "arn:aws:iam::111122223333:root" }),
            gov,
            Silent,
        ),
        (json!({ "Service": "s3.amazonaws.com" }), ALICE, Silent),
        (
            json!({ "Service": "s3.amazonaws.com" }),
            "s3.amazonaws.com",
            Allowed,
        ),
        (
            json!({ "Service": "ec2.amazonaws.com", "AWS": "111122223333" }),
            "s3.amazonaws.com",
            Silent,
        ),
    ] {
        let found = judge(
            json!([statement("Allow", named.clone(), "kms:*")]),
            caller,
            "Encrypt",
        );
        assert_eq!(found, verdict, "{named} {caller}");
    }
}

#[test]
fn who_is_excepted_is_excepted_by_all_names() {
    let role = "arn:aws:iam::111122223333:role/app";
    let of = |effect: &str, excepted: Value, caller: &str| {
        let statement = json!({ "Effect": effect, "NotPrincipal": { "AWS": excepted }, "Action": "*", "Resource": "*" });
        judge(json!([statement]), caller, "Encrypt")
    };
    assert_eq!(of("Allow", json!([ALICE]), ALICE), Verdict::Silent);
    assert_eq!(of("Allow", json!(["111122223333"]), ALICE), Verdict::Silent);
    assert_eq!(of("Allow", json!([ALICE]), SESSION), Verdict::Allowed);
    assert_eq!(
        of("Deny", json!([ALICE]), ALICE),
        Verdict::Denied,
        "the account is not excepted"
    );
    assert_eq!(
        of("Deny", json!([ALICE, "111122223333"]), ALICE),
        Verdict::Silent
    );
    assert_eq!(
        of("Deny", json!([role, "111122223333"]), SESSION),
        Verdict::Denied
    );
    assert_eq!(
        of(
            "Deny",
            json!([role, SESSION, "arn:aws:iam::111122223333:root"]),
            SESSION
        ),
        Verdict::Silent
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn actions_and_resources_have_wildcards_and_exceptions() {
    use Verdict::{Allowed, Silent};
    for (members, action, verdict) in [
        (
            json!({ "Action": "kms:Encrypt", "Resource": "*" }),
            "Encrypt",
            Allowed,
        ),
        (
            json!({ "Action": "KMS:encrypt*", "Resource": "*" }),
            "Encrypt",
            Allowed,
        ),
        (
            json!({ "Action": "kms:Generate*", "Resource": "*" }),
            "GenerateDataKeyWithoutPlaintext",
            Allowed,
        ),
        (
            json!({ "Action": "kms:GenerateDataKey", "Resource": "*" }),
            "GenerateDataKeyWithoutPlaintext",
            Silent,
        ),
        (
            json!({ "Action": "*", "Resource": "*" }),
            "Decrypt",
            Allowed,
        ),
        (
            json!({ "Action": "s3:*", "Resource": "*" }),
            "Decrypt",
            Silent,
        ),
        (
            json!({ "NotAction": ["kms:Decrypt"], "Resource": "*" }),
            "Encrypt",
            Allowed,
        ),
        (
            json!({ "NotAction": ["kms:Decrypt"], "Resource": "*" }),
            "Decrypt",
            Silent,
        ),
        (
            json!({ "Action": "kms:*", "Resource": "arn:aws:kms:*:key/other" }),
            "Encrypt",
            Silent,
        ),
        (
            json!({ "Action": "kms:*", "Resource": ["arn:aws:kms:*:key/other", KEY] }),
            "Encrypt",
            Allowed,
        ),
        (
            json!({ "Action": "kms:*", "NotResource": KEY }),
            "Encrypt",
            Silent,
        ),
        (
            json!({ "Action": "kms:*", "NotResource": "arn:aws:kms:*:key/other" }),
            "Encrypt",
            Allowed,
        ),
        (
            json!({ "Action": "kms:*", "Resource": "arn:aws:kms:*:key/${aws:PrincipalTag/team}" }),
            "Encrypt",
            Allowed,
        ),
        (
            json!({ "Action": "kms:*", "Resource": "arn:aws:kms:*:key/${aws:PrincipalTag/x}" }),
            "Encrypt",
            Silent,
        ),
        (
            json!({ "Action": "kms:*", "NotResource": "arn:aws:kms:*:key/${aws:PrincipalTag/x}" }),
            "Encrypt",
            Silent,
        ),
    ] {
        let mut statement = members.clone();
        statement["Effect"] = json!("Allow");
        statement["Principal"] = json!("*");
        assert_eq!(
            judge(json!([statement]), ALICE, action),
            verdict,
            "{members} {action}"
        );
    }
}

#[test]
fn a_deny_wins() {
    let statements = json!([
        statement("Allow", json!("*"), "kms:*"),
        statement("Deny", json!({ "AWS": ALICE }), "kms:Decrypt"),
    ]);
    assert_eq!(judge(statements.clone(), ALICE, "Decrypt"), Verdict::Denied);
    assert_eq!(judge(statements, ALICE, "Encrypt"), Verdict::Allowed);
    let account = json!([statement(
        "Deny",
        json!({ "AWS": "111122223333" }),
        "kms:Decrypt"
    )]);
    assert_eq!(judge(account, ALICE, "Decrypt"), Verdict::Denied);
}

#[test]
fn a_condition_decides_whether_a_statement_applies() {
    let mut deny = statement("Deny", json!("*"), "kms:*");
    for (secure, verdict) in [("false", Verdict::Silent), ("true", Verdict::Denied)] {
        deny["Condition"] = json!({ "Bool": { "aws:SecureTransport": secure } });
        assert_eq!(judge(json!([deny]), ALICE, "Encrypt"), verdict);
    }
}

#[test]
fn an_identity_policy_is_its_owners() {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"arn:aws:kms:*:111122223333:key/*"}}"#;
    let policy = Policy::parse(text, PolicyKind::Identity).unwrap();
    assert_eq!(judged(&policy, ALICE, "Encrypt", KEY), Verdict::Allowed);
    assert_eq!(judged(&policy, ALICE, "Encrypt", "*"), Verdict::Silent);
    assert!(
        Policy::parse(text, PolicyKind::Key).is_err(),
        "a key's policy names principals"
    );
    assert!(
        Policy::parse(
            &default_policy("arn:aws:iam::111122223333:root"),
            PolicyKind::Identity
        )
        .is_err()
    );
}

#[test]
fn what_is_not_a_policy_is_an_error() {
    let good = r#"{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}"#;
    assert!(
        Policy::parse(
            &format!(r#"{{"Id":"a","Statement":{good}}}"#),
            PolicyKind::Key
        )
        .is_ok()
    );
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"Statement":7}"#,
        r#"{"Version":"1","Statement":[]}"#,
        r#"{"Statement":[],"Statements":[]}"#,
        r#"{"Statement":[],"Statement":[]}"#,
        r#"{"Statement":[{"Effect":"Maybe","Principal":"*","Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":7,"Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":[],"Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"Encrypt","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"key/a"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","NotAction":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","NotPrincipal":"*","Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"alice","Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":{},"Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/*"},"Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"AIDAEXAMPLE"},"Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":{"Federated":"a"},"Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"s3"},"Action":"kms:*","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"Like":{"aws:SourceVpc":"a"}}}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"Bool":{},"Bool":{}}}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Conditions":{}}]}"#,
    ] {
        assert!(Policy::parse(bad, PolicyKind::Key).is_err(), "{bad}");
    }
}
