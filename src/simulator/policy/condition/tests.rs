//! A table of conditions. Each row has a value for which the condition holds, one for which it does not, and the result without the key.

use serde_json::{Value, json};

use super::super::context_key::TABLE;
use super::super::operator::OPERATORS;
use super::super::request::samples::{empty, full, with_tag_keys};
use super::*;

fn conditions(text: &Value) -> Result<Vec<PolicyCondition>, String> {
    let text = serde_json::from_str(&text.to_string()).map_err(|error| error.to_string())?;
    PolicyCondition::read(text, true)
}

#[track_caller]
fn holds(
    operator: &str,
    key: &str,
    wanted: &Value,
    request: &PolicyRequest<'_>,
    allows: bool,
) -> bool {
    let conditions = conditions(&json!({ operator: { key: wanted } })).unwrap();
    conditions
        .iter()
        .all(|condition| condition.holds(request, allows))
}

/// Operator, key, a value for which the condition holds, a value for which it does not, and the result for a request without the key
/// (`always` if every request has the key).
type ConditionRow = [&'static str; 5];

fn rows() -> Vec<ConditionRow> {
    let row = |line: &'static str| line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
    ROWS.lines().map(row).collect()
}

const ROWS: &str = "\
StringEquals | kms:ViaService | s3.eu-west-1.amazonaws.com | S3.eu-west-1.amazonaws.com | false
StringNotEquals | kms:ViaService | S3.eu-west-1.amazonaws.com | s3.eu-west-1.amazonaws.com | true
StringEqualsIgnoreCase | kms:ViaService | S3.EU-west-1.amazonaws.com | ec2.eu-west-1.amazonaws.com | false
StringNotEqualsIgnoreCase | kms:ViaService | ec2.eu-west-1.amazonaws.com | S3.EU-west-1.amazonaws.com | true
StringLike | kms:ViaService | s3.*.amazonaws.com | s?.amazonaws.com | false
StringNotLike | kms:ViaService | s?.amazonaws.com | s3.*.amazonaws.com | true
ArnEquals | aws:PrincipalArn | arn:aws:iam::*:role/app | arn:aws:iam::*:role/other | false
ArnLike | aws:PrincipalArn | arn:aws:iam::111122223333:role/a?p | arn:aws:iam::*:role/app/x | false
ArnNotEquals | aws:PrincipalArn | arn:aws:iam::*:role/other | arn:aws:iam::*:role/app | true
ArnNotLike | aws:PrincipalArn | arn:aws:iam::4*:role/app | arn:aws:iam::1*:role/* | true
Bool | kms:GrantIsForAWSResource | TRUE | false | false
NumericEquals | kms:ScheduleKeyDeletionPendingWindowInDays | 14.0 | 15 | false
NumericNotEquals | kms:ScheduleKeyDeletionPendingWindowInDays | 15 | 14 | true
NumericLessThan | kms:ScheduleKeyDeletionPendingWindowInDays | 15 | 14 | false
NumericLessThanEquals | kms:ScheduleKeyDeletionPendingWindowInDays | 14 | 13 | false
NumericGreaterThan | kms:ScheduleKeyDeletionPendingWindowInDays | 13 | 14 | false
NumericGreaterThanEquals | kms:ScheduleKeyDeletionPendingWindowInDays | 14 | 15 | false
DateEquals | aws:CurrentTime | 2026-06-01T12:00:00Z | 2026-06-01 | always
DateNotEquals | aws:CurrentTime | 2026-06-01 | 2026-06-01T14:00:00+02:00 | always
DateLessThan | aws:CurrentTime | 2026-06-02 | 2026-06-01T12:00:00Z | always
DateLessThanEquals | aws:CurrentTime | 2026-06-01T12:00:00Z | 2026-06-01 | always
DateGreaterThan | aws:CurrentTime | 1780272000 | 2026-06-01T12:00:00Z | always
DateGreaterThanEquals | aws:CurrentTime | 2026-06-01T12:00:00Z | 2026-06-02 | always
IpAddress | aws:SourceIp | 203.0.113.0/24 | 203.0.114.0/24 | false
NotIpAddress | aws:SourceIp | 203.0.113.10 | 203.0.113.9 | true
StringEquals | kms:CallerAccount | 111122223333 | 444455556666 | false
NumericGreaterThan | aws:EpochTime | 1 | 99999999999 | always
StringEquals | kms:EncryptionAlgorithm | SYMMETRIC_DEFAULT | RSAES_OAEP_SHA_256 | false
StringEquals | kms:EncryptionContext:Purpose | test | Test | false
StringEquals | kms:EncryptionContext:purpose | test |  | false
ForAnyValue:StringEquals | kms:EncryptionContextKeys | Purpose | purpose | false
ForAllValues:StringEquals | kms:EncryptionContextKeys | Purpose | purpose | true
StringEquals | kms:GrantConstraintType | EncryptionContextEquals | EncryptionContextSubset | false
ForAllValues:StringEquals | kms:GrantOperations | Decrypt | Encrypt | true
ForAnyValue:StringLike | kms:GrantOperations | De* | En* | false
ArnLike | kms:GranteePrincipal | arn:aws:iam::*:role/bob | arn:aws:iam::*:role/app | false
StringEquals | kms:KeyOrigin | EXTERNAL_KEY_STORE | AWS_KMS | false
StringEquals | kms:KeySpec | SYMMETRIC_DEFAULT | RSA_4096 | false
StringEquals | kms:KeyUsage | ENCRYPT_DECRYPT | SIGN_VERIFY | false
Bool | kms:BypassPolicyLockoutSafetyCheck | true | false | false
Bool | kms:MultiRegion | false | true | false
StringEquals | aws:PrincipalAccount | 111122223333 | 444455556666 | false
Bool | aws:PrincipalIsAWSService | false | true | always
StringEquals | aws:PrincipalOrgID | o-1 | o-2 | false
StringEquals | aws:PrincipalTag/Team | payments | Payments | false
StringEquals | aws:PrincipalType | AssumedRole | User | always
StringLike | kms:RequestAlias | alias/pay* | alias/x* | false
StringEquals | aws:RequestTag/cost | 1 | 2 | false
NumericLessThan | aws:RequestTag/cost | 2 | 1 | false
StringEquals | aws:RequestedRegion | eu-west-1 | us-east-1 | always
StringEquals | aws:ResourceAccount | 111122223333 | 444455556666 | false
ForAnyValue:StringEquals | kms:ResourceAliases | alias/payments | alias/x | false
ForAllValues:StringLike | kms:ResourceAliases | alias/* | alias/pay* | true
StringEquals | aws:ResourceTag/Project | Alpha | Beta | false
ArnEquals | kms:RetiringPrincipal | arn:aws:iam::111122223333:user/eve | arn:aws:iam::111122223333:user/bob | false
Bool | aws:SecureTransport | true | false | always
StringEquals | aws:SourceAccount | 111122223333 | 444455556666 | false
ArnLike | aws:SourceArn | arn:aws:s3:::bucket-* | arn:aws:s3:::other | false
StringEquals | aws:SourceVpc | vpc-1 | vpc-2 | false
StringEquals | aws:SourceVpce | vpce-1 | vpce-2 | false
ForAnyValue:StringEquals | aws:TagKeys | cost | x | false
StringEquals | aws:PrincipalServiceName | s3.amazonaws.com |  | always
StringEquals | aws:username |  | app | false
Null | kms:ViaService | false | true | false
Null | kms:EncryptionContext:Purpose | false | true | false
Null | aws:TagKeys | false | true | false
StringEqualsIfExists | kms:ViaService | s3.eu-west-1.amazonaws.com | x | true
StringNotEqualsIfExists | kms:ViaService | x | s3.eu-west-1.amazonaws.com | true
ArnLikeIfExists | aws:PrincipalArn | arn:aws:iam::*:role/app | arn:aws:iam::*:role/x | true
BoolIfExists | kms:GrantIsForAWSResource | true | false | true
NumericLessThanIfExists | kms:ScheduleKeyDeletionPendingWindowInDays | 15 | 14 | true
IpAddressIfExists | aws:SourceIp | 203.0.113.9/32 | ::/0 | true
ForAnyValue:StringEqualsIfExists | aws:TagKeys | cost | x | true";

/// Keys that the full request does not have. Their rows are for the empty request.
const ONLY_OF_OTHERS: [&str; 2] = ["aws:PrincipalServiceName", "aws:username"];

#[test]
fn every_row_of_the_table_is_correct() {
    let mut failed = Vec::new();
    let rows = rows()
        .into_iter()
        .filter(|[_, key, ..]| !ONLY_OF_OTHERS.contains(key));
    for row @ [operator, key, allow, deny, absent] in rows {
        let holds = |value: &str, request: &PolicyRequest<'_>| {
            holds(operator, key, &json!(value), request, true)
        };
        full(|request| {
            if !holds(allow, request) || holds(deny, request) {
                failed.push(row);
            }
        });
        empty(|request| {
            let without = [holds(allow, request), holds(deny, request)];
            // Null tests the key and not its value.
            let wanted = match (absent, operator) {
                ("always", _) => return,
                (absent, "Null") => [absent == "true", absent != "true"],
                (absent, _) => [absent == "true"; 2],
            };
            if wanted != without {
                failed.push(row);
            }
        });
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_operator_and_key_has_a_row() {
    for (operator, ..) in OPERATORS {
        assert!(
            rows().iter().any(|[known, ..]| *known == operator),
            "{operator}"
        );
    }
    for (_, key, ..) in TABLE {
        assert!(
            rows().iter().any(|[_, known, ..]| known.starts_with(key)),
            "{key}"
        );
    }
}

#[test]
fn names_of_services_and_users_are_condition_values() {
    empty(|request| {
        assert!(holds(
            "StringEquals",
            "aws:PrincipalServiceName",
            &json!("s3.amazonaws.com"),
            request,
            true
        ))
    });
    full(|request| {
        assert!(holds(
            "Null",
            "aws:PrincipalServiceName",
            &json!("true"),
            request,
            true
        ))
    });
    full(|request| {
        assert!(
            holds("Null", "aws:username", &json!(true), request, true),
            "a session has none"
        )
    });
}

#[test]
fn quantifiers_compare_sets() {
    for (operator, wanted, found, expected) in [
        (
            "ForAllValues:StringEquals",
            &["a", "b"][..],
            &["a"][..],
            true,
        ),
        ("ForAllValues:StringEquals", &["a", "b"], &["a", "b"], true),
        ("ForAllValues:StringEquals", &["a"], &["a", "b"], false),
        ("ForAllValues:StringEquals", &["a"], &[], true),
        ("ForAllValues:StringNotEquals", &["a"], &["b", "c"], true),
        ("ForAllValues:StringNotEquals", &["a"], &["a", "c"], false),
        ("ForAnyValue:StringEquals", &["a"], &["a", "b"], true),
        ("ForAnyValue:StringEquals", &["c"], &["a", "b"], false),
        ("ForAnyValue:StringEquals", &["c"], &[], false),
        ("ForAnyValue:StringNotEquals", &["a"], &["a", "b"], true),
        (
            "ForAnyValue:StringNotEquals",
            &["a", "b"],
            &["a", "b"],
            false,
        ),
        ("ForAnyValue:StringNotEquals", &["a"], &[], false),
        (
            "ForAllValues:StringLikeIfExists",
            &["a*"],
            &["ab", "ac"],
            true,
        ),
        ("ForAnyValue:NumericLessThan", &["5"], &["9", "3"], true),
    ] {
        let found: Vec<_> = found.iter().map(|found| (*found).to_owned()).collect();
        with_tag_keys(&found, |request| {
            assert_eq!(
                holds(operator, "aws:TagKeys", &json!(wanted), request, true),
                expected,
                "{operator} {wanted:?} {found:?}"
            );
        });
    }
}

#[test]
fn a_negated_operator_must_hold_for_all_values() {
    full(|request| {
        let holds = |operator, wanted: Value| {
            holds(operator, "aws:PrincipalTag/Team", &wanted, request, true)
        };
        assert!(
            holds("StringEquals", json!(["x", "payments"]))
                && !holds("StringEquals", json!(["x", "y"]))
        );
        assert!(
            !holds("StringNotEquals", json!(["x", "payments"]))
                && holds("StringNotEquals", json!(["x", "y"]))
        );
    });
}

#[test]
fn all_conditions_must_hold() {
    full(|request| {
        for (text, expected) in [
            (
                json!({ "StringEquals": { "aws:PrincipalTag/Team": "payments", "kms:CallerAccount": "111122223333" } }),
                true,
            ),
            (
                json!({ "StringEquals": { "aws:PrincipalTag/Team": "payments", "kms:CallerAccount": "1" } }),
                false,
            ),
            (
                json!({ "StringEquals": { "kms:CallerAccount": "111122223333" }, "Bool": { "aws:SecureTransport": false } }),
                false,
            ),
        ] {
            let all = conditions(&text).unwrap();
            assert_eq!(
                all.iter().all(|condition| condition.holds(request, true)),
                expected,
                "{text}"
            );
        }
    });
}

#[test]
fn policy_variables_get_the_values_of_the_request() {
    full(|request| {
        let holds = |wanted: &str, allows| {
            holds(
                "StringLike",
                "aws:ResourceTag/owner",
                &json!(wanted),
                request,
                allows,
            )
        };
        assert!(
            holds("${aws:PrincipalTag/Team}-*", true) && !holds("${kms:CallerAccount}-*", true)
        );
        assert!(
            !holds("${aws:PrincipalTag/star}", true),
            "a star in a tag is not a wildcard"
        );
        assert!(
            !holds("${aws:PrincipalTag/none}*", true)
                && holds("${aws:PrincipalTag/none, 'pay'}*", true)
        );
    });
    full(|request| {
        let denied = |allows| {
            holds(
                "StringNotEquals",
                "aws:ResourceTag/owner",
                &json!("${aws:PrincipalTag/none}"),
                request,
                allows,
            )
        };
        assert!(
            !denied(true),
            "an Allow with a variable that has no value does not apply"
        );
        assert!(denied(false), "a Deny applies");
    });
}

const ERRORS: &str = r#"StringMatches | aws:SourceVpce | "a"
stringequals | aws:SourceVpce | "a"
BinaryEquals | aws:SourceVpce | "YQ=="
NullIfExists | aws:SourceVpce | "true"
Null | aws:SourceVpce | "maybe"
ForSomeValues:StringEquals | aws:TagKeys | "a"
StringEquals | aws:TagKeys | "a"
StringEquals | kms:ResourceAliases | "alias/a"
StringEquals | aws:MultiFactorAuthAge | "1"
StringEquals | aws:SourceVpce | []
StringEquals | aws:SourceVpce | null
StringEquals | aws:SourceVpce | { "a": "b" }
NumericEquals | aws:SourceVpce | 1
NumericEquals | kms:ScheduleKeyDeletionPendingWindowInDays | "many"
NumericEquals | kms:ScheduleKeyDeletionPendingWindowInDays | "NaN"
DateLessThan | aws:CurrentTime | "tomorrow"
DateLessThan | aws:PrincipalArn | "2026-01-01"
Bool | aws:SecureTransport | "yes"
Bool | aws:SecureTransport | "${aws:PrincipalTag/a}"
IpAddress | aws:SourceIp | "10.0.0.0/33"
IpAddress | aws:SourceVpce | "10.0.0.0/8"
ArnLike | aws:PrincipalArn | "*"
ArnLike | aws:SourceVpce | "arn:aws:iam::1:role/a"
StringEquals | aws:SourceVpce | "${aws:Unknown}""#;

#[test]
fn invalid_conditions_are_rejected() {
    for line in ERRORS.lines() {
        let [operator, key, value] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let value: Value = serde_json::from_str(value).unwrap();
        assert!(
            conditions(&json!({ operator: { key: value } })).is_err(),
            "{line}"
        );
    }
}
