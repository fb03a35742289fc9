//! Decisions of policies, and errors of invalid policies.

use serde_json::{Value, json};

use super::*;
use crate::simulator::wire::names::{account_of, is_service};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/k";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/app/s1";

fn evaluated(policy: &IamPolicy, principal: &str, action: &str, resource: &str) -> PolicyDecision {
    let tags = Pairs::from([("team".to_owned(), "k".to_owned())]);
    policy.evaluate(&PolicyRequest {
        caller: PolicyCaller {
            principal,
            arn: role_of(principal).map_or(principal.into(), Into::into),
            account: account_of(principal).unwrap_or_default(),
            region: "eu-west-1",
            is_service: is_service(principal),
            tags: Some(&tags),
            configured: &ConfiguredValues::default(),
            source: None,
        },
        action,
        resource,
        key: None,
        details: RequestDetails::default(),
    })
}

fn evaluate(statements: Value, principal: &str, action: &str) -> PolicyDecision {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    let policy = IamPolicy::parse(&policy.to_string(), PolicyKind::Key).unwrap();
    evaluated(&policy, principal, action, KEY)
}

fn statement(effect: &str, principal: Value, action: &str) -> Value {
    json!({ "Effect": effect, "Principal": principal, "Action": action, "Resource": "*" })
}

#[test]
fn the_default_policy_allows_the_account_only() {
    let policy = IamPolicy::parse(
        &default_policy("arn:aws:iam::111122223333:root"),
        PolicyKind::Key,
    )
    .unwrap();
    assert_eq!(
        evaluated(&policy, ALICE, "Encrypt", KEY),
        PolicyDecision::AccountAllowed
    );
    let root = "arn:aws:iam::111122223333:root";
    assert_eq!(
        evaluated(&policy, root, "Encrypt", KEY),
        PolicyDecision::Allowed
    );
    let eve = "arn:aws:iam::444455556666:user/eve";
    assert_eq!(
        evaluated(&policy, eve, "Encrypt", KEY),
        PolicyDecision::NotApplicable
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_form_of_principal_matches() {
    use PolicyDecision::{AccountAllowed, Allowed, NotApplicable};
    let gov = "arn:aws-us-gov:iam::111122223333:user/a";
    for (named, caller, decision) in [
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
            NotApplicable,
        ),
        (json!({ "AWS": "444455556666" }), ALICE, NotApplicable),
        (
            json!({ "AWS": "arn:aws-us-gov:iam::111122223333:root" }),
            gov,
            AccountAllowed,
        ),
        (
            json!({ "AWS": "arn:aws:iam::111122223333:root" }),
            gov,
            NotApplicable,
        ),
        (
            json!({ "Service": "s3.amazonaws.com" }),
            ALICE,
            NotApplicable,
        ),
        (
            json!({ "Service": "s3.amazonaws.com" }),
            "s3.amazonaws.com",
            Allowed,
        ),
        (
            json!({ "Service": "ec2.amazonaws.com", "AWS": "111122223333" }),
            "s3.amazonaws.com",
            NotApplicable,
        ),
    ] {
        let found = evaluate(
            json!([statement("Allow", named.clone(), "kms:*")]),
            caller,
            "Encrypt",
        );
        assert_eq!(found, decision, "{named} {caller}");
    }
}

#[test]
fn not_principal_needs_all_names_of_a_caller() {
    let role = "arn:aws:iam::111122223333:role/app";
    let evaluate_except = |effect: &str, excepted: Value, caller: &str| {
        let statement = json!({ "Effect": effect, "NotPrincipal": { "AWS": excepted }, "Action": "*", "Resource": "*" });
        evaluate(json!([statement]), caller, "Encrypt")
    };
    assert_eq!(
        evaluate_except("Allow", json!([ALICE]), ALICE),
        PolicyDecision::NotApplicable
    );
    assert_eq!(
        evaluate_except("Allow", json!(["111122223333"]), ALICE),
        PolicyDecision::NotApplicable
    );
    assert_eq!(
        evaluate_except("Allow", json!([ALICE]), SESSION),
        PolicyDecision::Allowed
    );
    assert_eq!(
        evaluate_except("Deny", json!([ALICE]), ALICE),
        PolicyDecision::Denied,
        "the account is not excepted"
    );
    assert_eq!(
        evaluate_except("Deny", json!([ALICE, "111122223333"]), ALICE),
        PolicyDecision::NotApplicable
    );
    assert_eq!(
        evaluate_except("Deny", json!([role, "111122223333"]), SESSION),
        PolicyDecision::Denied
    );
    assert_eq!(
        evaluate_except(
            "Deny",
            json!([role, SESSION, "arn:aws:iam::111122223333:root"]),
            SESSION
        ),
        PolicyDecision::NotApplicable
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn actions_and_resources_have_wildcards_and_exceptions() {
    use PolicyDecision::{Allowed, NotApplicable};
    for (members, action, decision) in [
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
            NotApplicable,
        ),
        (
            json!({ "Action": "*", "Resource": "*" }),
            "Decrypt",
            Allowed,
        ),
        (
            json!({ "Action": "s3:*", "Resource": "*" }),
            "Decrypt",
            NotApplicable,
        ),
        (
            json!({ "NotAction": ["kms:Decrypt"], "Resource": "*" }),
            "Encrypt",
            Allowed,
        ),
        (
            json!({ "NotAction": ["kms:Decrypt"], "Resource": "*" }),
            "Decrypt",
            NotApplicable,
        ),
        (
            json!({ "Action": "kms:*", "Resource": "arn:aws:kms:*:key/other" }),
            "Encrypt",
            NotApplicable,
        ),
        (
            json!({ "Action": "kms:*", "Resource": ["arn:aws:kms:*:key/other", KEY] }),
            "Encrypt",
            Allowed,
        ),
        (
            json!({ "Action": "kms:*", "NotResource": KEY }),
            "Encrypt",
            NotApplicable,
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
            NotApplicable,
        ),
        (
            json!({ "Action": "kms:*", "NotResource": "arn:aws:kms:*:key/${aws:PrincipalTag/x}" }),
            "Encrypt",
            NotApplicable,
        ),
    ] {
        let mut statement = members.clone();
        statement["Effect"] = json!("Allow");
        statement["Principal"] = json!("*");
        assert_eq!(
            evaluate(json!([statement]), ALICE, action),
            decision,
            "{members} {action}"
        );
    }
}

#[test]
fn a_deny_overrides_an_allow() {
    let statements = json!([
        statement("Allow", json!("*"), "kms:*"),
        statement("Deny", json!({ "AWS": ALICE }), "kms:Decrypt"),
    ]);
    assert_eq!(
        evaluate(statements.clone(), ALICE, "Decrypt"),
        PolicyDecision::Denied
    );
    assert_eq!(
        evaluate(statements, ALICE, "Encrypt"),
        PolicyDecision::Allowed
    );
    let account = json!([statement(
        "Deny",
        json!({ "AWS": "111122223333" }),
        "kms:Decrypt"
    )]);
    assert_eq!(evaluate(account, ALICE, "Decrypt"), PolicyDecision::Denied);
}

#[test]
fn a_condition_decides_whether_a_statement_applies() {
    let mut deny = statement("Deny", json!("*"), "kms:*");
    for (secure, decision) in [
        ("false", PolicyDecision::NotApplicable),
        ("true", PolicyDecision::Denied),
    ] {
        deny["Condition"] = json!({ "Bool": { "aws:SecureTransport": secure } });
        assert_eq!(evaluate(json!([deny]), ALICE, "Encrypt"), decision);
    }
}

#[test]
fn an_identity_policy_applies_to_its_owner() {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"arn:aws:kms:*:111122223333:key/*"}}"#;
    let policy = IamPolicy::parse(text, PolicyKind::Identity).unwrap();
    assert_eq!(
        evaluated(&policy, ALICE, "Encrypt", KEY),
        PolicyDecision::Allowed
    );
    assert_eq!(
        evaluated(&policy, ALICE, "Encrypt", "*"),
        PolicyDecision::NotApplicable
    );
    assert!(
        IamPolicy::parse(text, PolicyKind::Key).is_err(),
        "a key's policy names principals"
    );
    assert!(
        IamPolicy::parse(
            &default_policy("arn:aws:iam::111122223333:root"),
            PolicyKind::Identity
        )
        .is_err()
    );
}

#[test]
fn invalid_policies_are_rejected() {
    let good = r#"{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}"#;
    assert!(
        IamPolicy::parse(
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
        assert!(IamPolicy::parse(bad, PolicyKind::Key).is_err(), "{bad}");
    }
}
