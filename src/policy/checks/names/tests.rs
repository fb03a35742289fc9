//! Warnings about names that cannot exist.

use super::*;

fn names() -> Names {
    let mut names = Names::default();
    names.add_store("payments", "eu-west-1");
    names.add_store("retail", "us-east-1");
    let (label, tag) = (["orders-2026"].into_iter(), ["class"].into_iter());
    names.add_key("payments", "orders", label, tag);
    names
}

fn found(rules: &str) -> Vec<String> {
    let rules: PolicySet = rules.parse().unwrap();
    let warnings = warnings(&rules, &literals(&rules), &names());
    warnings.iter().map(ToString::to_string).collect()
}

/// The warnings about one rule with this scope and condition.
fn rule_warnings(scope: &str, condition: &str) -> Vec<String> {
    found(&format!("permit({scope}) when {{ {condition} }};"))
}

const ANY: &str = "principal, action, resource";

#[test]
fn names_that_can_exist_cause_no_warning() {
    for scope in [
        ANY,
        "principal, action, resource in Xks::KeyStore::\"payments\"",
        "principal, action, resource == Xks::Key::\"payments/orders\"",
        "principal in Xks::Account::\"111122223333\", action, resource",
        "principal in Xks::Role::\"arn:aws:iam::111122223333:role/team/Orders\", action, resource",
        "principal == Xks::Principal::\"arn:aws:sts::111122223333:assumed-role/Orders/i-0abc\", action, resource",
        "principal == Xks::Principal::\"arn:aws:iam::111122223333:role/Orders\", action, resource",
        "principal == Xks::Principal::\"s3.amazonaws.com\", action, resource",
        "principal == Xks::Principal::\"AWS Internal\", action, resource",
        "principal == Xks::Principal::\"\", action, resource",
        "principal == Xks::Principal::\"arn:aws:newservice:::thing/x\", action, resource",
    ] {
        assert!(rule_warnings(scope, "true").is_empty(), "{scope}");
    }
    for condition in [
        "resource.store == \"payments\" && resource.id != \"orders\"",
        "resource.labels.contains(\"orders-2026\")",
        "resource.hasTag(\"class\") && resource.getTag(\"class\") == \"anything\"",
        "context.region == \"us-east-1\"",
        "principal.kind == \"assumed-role\"",
        "principal has account && principal.account == \"111122223333\"",
        "[\"retail\", \"payments\"].contains(resource.store)",
        "principal.arn like \"arn:aws:iam::*\"",
        "resource.store == resource.id",
        "context.kmsOperation == \"GenerateDataKey\"",
        "[\"verified\", \"server_auth_only\"].contains(context.client_certificate)",
        "context.kmsRequestId == \"anything\"",
        "context has kmsViaService && context.kmsViaService == \"s3\"",
        "context has kmsViaService && context.kmsViaService like \"s3*\"",
        "context has kmsViaService && [\"delivery.logs\"].contains(context.kmsViaService)",
        "context has kmsKeyArn && context.kmsKeyArn == \"arn:aws:kms:eu-west-1:111122223333:key/mrk-1\"",
        "context has awsSourceVpc && context.awsSourceVpc == \"vpc-0a1b2c3d\"",
        "context has awsSourceVpce && [\"vpce-1\"].contains(context.awsSourceVpce)",
    ] {
        assert!(rule_warnings(ANY, condition).is_empty(), "{condition}");
    }
}

#[test]
fn entities_that_cannot_exist_are_named_anywhere_in_a_rule() {
    for (entity, part) in [
        (
            "KeyStore::\"paymentz\"",
            "names the key store \"paymentz\", which the configuration does not have; did you mean \"payments\"?",
        ),
        (
            "KeyStore::\"archive\"",
            "which the configuration does not have",
        ),
        (
            "Key::\"payments/orderz\"",
            "did you mean \"payments/orders\"?",
        ),
        (
            "Key::\"paymentz/orders\"",
            "did you mean \"payments/orders\"?",
        ),
        (
            "Key::\"retail/orders\"",
            "which the configuration does not have",
        ),
        ("Key::\"orders\"", "write it as \"store/id\""),
        ("Account::\"12345678901\"", "twelve digits"),
        (
            "Role::\"arn:aws:sts::111122223333:assumed-role/Orders/i-0abc\"",
            "which is a session; its role is \"arn:aws:iam::111122223333:role/Orders\"",
        ),
        (
            "Role::\"arn:aws:sts::111122223333:role/Orders\"",
            "not the ARN of a role",
        ),
        (
            "Role::\"arn:aws:iam::12345678901:role/Orders\"",
            "not the ARN of a role",
        ),
        (
            "Role::\"arn:aws:iam::111122223333:role/*\"",
            "not the ARN of a role",
        ),
        ("Role::\"Orders\"", "not the ARN of a role"),
        (
            "Role::\"arn:aws-cn:iam::111122223333:role/Orders\"",
            "whose partition is \"aws-cn\", but the Regions of the key stores are in aws",
        ),
        (
            "Principal::\"arn:aws-gov:iam::111122223333:user/Alice\"",
            "whose partition \"aws-gov\" this version does not know",
        ),
        ("Principal::\"Alice\"", "neither an ARN nor an AWS service"),
        (
            "Principal::\"arn:aws:iam::111122223333:user/*\"",
            "not a wildcard",
        ),
        (
            "Principal::\"arn:aws:iam::12345678901:user/Alice\"",
            "not twelve digits",
        ),
        (
            "Principal::\"arn:aws:sts::111122223333:assumed-role/Orders\"",
            "has no session name",
        ),
    ] {
        let variable = if entity.starts_with("Key") {
            "resource"
        } else {
            "principal"
        };
        for condition in [
            format!("{variable} in Xks::{entity}"),
            format!("!(if context.hour > 3 then {variable} in [Xks::{entity}] else false)"),
        ] {
            let found = rule_warnings(ANY, &condition);
            assert_eq!(found.len(), 1, "{condition}: {found:?}");
            assert!(found[0].starts_with("\"policy0\" names the "), "{found:?}");
            assert!(found[0].contains(part), "{condition}: {found:?}");
        }
    }
    let scope = "principal in Xks::Account::\"1\", action, resource in Xks::KeyStore::\"paymentz\"";
    assert_eq!(rule_warnings(scope, "true").len(), 2);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn values_that_no_attribute_can_have_are_named() {
    for (condition, part) in [
        ("resource.store == \"paymentz\"", "key store \"paymentz\""),
        ("\"paymentz\" != resource.store", "key store \"paymentz\""),
        (
            "[\"retail\", \"paymentz\"].contains(resource.store)",
            "key store \"paymentz\"",
        ),
        ("resource[\"id\"] == \"orderz\"", "key id \"orderz\""),
        (
            "resource.labels.contains(\"orders-2027\")",
            "label \"orders-2027\"",
        ),
        (
            "resource.labels.containsAny([\"a\", \"orders-2026\"])",
            "label \"a\"",
        ),
        (
            "resource.hasTag(\"clas\")",
            "tag \"clas\", which the configuration does not have; did you mean \"class\"?",
        ),
        (
            "context.region == \"eu-wset-1\"",
            "Region of a key store \"eu-wset-1\"",
        ),
        (
            "principal has account && principal.account == \"1234\"",
            "account \"1234\"",
        ),
        (
            "context has kmsKeyAccount && context.kmsKeyAccount == \"x\"",
            "account \"x\"",
        ),
        (
            "context.kmsOperation == \"encrypt\"",
            "the KMS operation \"encrypt\"",
        ),
        (
            "[\"Decrypt\", \"ScheduleKeyDeletion\"].contains(context.kmsOperation)",
            "the KMS operation \"ScheduleKeyDeletion\", which does not use an external key",
        ),
        (
            "context has awsSourceVpc && context.awsSourceVpc == \"vpc-*\"",
            "== compares the whole id",
        ),
        (
            "context has awsSourceVpc && context.awsSourceVpc == \"vpce-1\"",
            "which has the form \"vpc-\" and digits",
        ),
        (
            "context has awsSourceVpce && context.awsSourceVpce == \"vpc-1\"",
            "which has the form \"vpce-\" and digits",
        ),
        (
            "context has kmsKeyArn && context.kmsKeyArn == \"arn:aws:kms:eu-west-1:111122223333:key/*\"",
            "* is not a wildcard",
        ),
        (
            "context has kmsKeyArn && context.kmsKeyArn == \"arn:aws:kms:eu-west-1:1:key/a\"",
            "twelve digits",
        ),
        (
            "context has kmsKeyArn && context.kmsKeyArn == \"alias/a\"",
            "which has the form \"arn:aws:kms:",
        ),
        (
            "context has kmsKeyArn && context.kmsKeyArn == \"arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/a\"",
            "whose partition is \"aws-us-gov\"",
        ),
        (
            "context has kmsKeyArn && context.kmsKeyArn == \"arn:amazon:kms:eu-west-1:111122223333:key/a\"",
            "a partition that AWS cannot have",
        ),
        (
            "context has kmsViaService && context.kmsViaService == \"s3.eu-west-1.amazonaws.com\"",
            "write \"s3\"",
        ),
        (
            "context has kmsViaService && context.kmsViaService == \"s3.cn-north-1.amazonaws.com.cn\"",
            "write \"s3\"",
        ),
        (
            "context has kmsViaService && context.kmsViaService like \"s3.*.amazonaws.eu\"",
            "write \"s3\"",
        ),
        (
            "context has kmsViaService && context.kmsViaService like \"s3.*\"",
            "write \"s3\"",
        ),
        (
            "principal.kind == \"assumedrole\"",
            "known are: user, role, assumed-role",
        ),
        (
            "principal.arn == \"arn:aws:iam::1:user/Alice\"",
            "not twelve digits",
        ),
    ] {
        let found = rule_warnings(ANY, condition);
        assert_eq!(found.len(), 1, "{condition}: {found:?}");
        assert!(found[0].contains(part), "{condition}: {found:?}");
    }
}

#[test]
fn a_name_causes_one_warning_per_rule_and_further_ones_are_counted() {
    let twice = "resource.store == \"x\" || resource in Xks::KeyStore::\"x\"";
    assert_eq!(rule_warnings(ANY, twice).len(), 1);
    let rule = |n: u32| format!("permit(principal in Xks::Account::\"{n}\", action, resource);\n");
    let found = found(&(0..50).map(rule).collect::<String>());
    assert_eq!(found.len(), MAX_SHOWN + 1);
    assert_eq!(found[MAX_SHOWN], "30 more names in rules cannot exist");
}
