//! Which decisions are cached, and which must not be.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::connections::ClientCertificate;
use crate::policy::tests::{decide, policy, with_request};
use crate::policy::{Action, PolicyMode, PolicyOutcome};

fn reads(rule: &str) -> ContextUse {
    let rules: PolicySet = rule.parse().unwrap();
    DecisionCache::for_rules(&rules).reads
}

#[test]
fn rules_about_the_time_or_the_whole_context_are_recognized() {
    let nothing = ContextUse::default();
    let hour = ContextUse {
        hour: true,
        ..nothing
    };
    let uncacheable = ContextUse {
        uncacheable: true,
        ..nothing
    };
    for (condition, expected) in [
        ("true", nothing),
        ("context.region == \"now\"", nothing),
        (
            "context has kmsViaService && principal.name == \"hour\"",
            nothing,
        ),
        ("context.hour < 9", hour),
        ("!(context.weekday <= 5)", hour),
        ("context[\"hour\"] == 3", hour),
        ("context.now > datetime(\"2026-01-01\")", uncacheable),
        ("context.kmsRequestId like \"a*\"", uncacheable),
        ("context has now", uncacheable),
        ("context == {\"hour\": 3}", uncacheable),
        ("[context].contains({})", uncacheable),
        ("(if true then context else context).now == 1", uncacheable),
    ] {
        let rule = format!("permit(principal, action, resource) when {{ {condition} }};");
        assert_eq!(reads(&rule), expected, "{condition}");
    }
}

/// A change of a request's metadata.
type Change = fn(&mut serde_json::Value);

#[test]
fn a_cached_decision_is_used_for_equal_requests_only() {
    let changes: [Change; 12] = [
        |_| {},
        |m| m["awsPrincipalArn"] = json!("arn:aws:sts::111122223333:assumed-role/Orders/i-1"),
        |m| m["awsPrincipalArn"] = json!("arn:aws:sts::999922223333:assumed-role/Orders/i-0abc"),
        |m| m["kmsOperation"] = json!("Decrypt"),
        |m| m["kmsKeyArn"] = json!("arn:aws:kms:eu-west-1:999955556666:key/x"),
        |m| m["kmsViaService"] = json!("ebs"),
        |m| m["awsSourceVpc"] = json!("vpc-2"),
        |m| m["awsSourceVpce"] = json!("vpce-1"),
        |m| m["kmsViaService"] = json!(null),
        |m| m["new"] = json!("a"),
        |m| m["new"] = json!(["a"]),
        |m| m["newer"] = json!("a"),
    ];
    for rules in [
        "permit(principal, action, resource) when { principal has session && principal.session == \"i-0abc\" };",
        "permit(principal in Xks::Account::\"111122223333\", action, resource);",
        "forbid(principal, action == Xks::Action::\"Decrypt\", resource); permit(principal, action, resource);",
        "permit(principal, action, resource) when { context.kmsOperation == \"Encrypt\" };",
        "permit(principal, action, resource) when { context has kmsKeyAccount && context.kmsKeyAccount == \"444455556666\" };",
        "permit(principal, action, resource) when { context has kmsViaService && context.kmsViaService == \"s3\" };",
        "permit(principal, action, resource) when { context has awsSourceVpc && context.awsSourceVpc == \"vpc-1\" };",
        "permit(principal, action, resource) unless { context has awsSourceVpce };",
        "permit(principal, action, resource) when { context.other.contains({\"name\": \"new\", \"value\": \"a\"}) };",
        "permit(principal, action, resource) when { context.kmsRequestId == \"r-1\" };",
    ] {
        let policy = policy(rules, PolicyMode::Enforce);
        for _ in 0..2 {
            for (at, change) in changes.iter().enumerate() {
                for action in [Action::Encrypt, Action::Decrypt, Action::GetKeyMetadata] {
                    let (decision, evaluation) = with_request(change, action, |request| {
                        (policy.decide(request), policy.evaluate(request))
                    });
                    assert_eq!(
                        (decision.outcome, decision.policies),
                        evaluation,
                        "{rules} {at} {action:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_decision_about_one_client_certificate_is_not_used_for_another() {
    let rules =
        "permit(principal, action, resource) when { context.client_certificate == \"verified\" };";
    let policy = policy(rules, PolicyMode::Enforce);
    for client_certificate in ClientCertificate::ALL.into_iter().cycle().take(10) {
        let outcome = with_request(
            |_| {},
            Action::Encrypt,
            |request| {
                let request = AuthorizationRequest {
                    client_certificate,
                    ..*request
                };
                policy.decide(&request).outcome
            },
        );
        let is_permitted = outcome == PolicyOutcome::Permitted;
        assert_eq!(
            is_permitted,
            client_certificate == ClientCertificate::Verified
        );
    }
    assert_eq!(policy.cache.len(), 5);
}

#[test]
fn a_rule_about_the_time_is_evaluated_again_when_the_time_has_changed() {
    for (rule, hours) in [
        ("context.hour < 15", 4),
        ("context.weekday == 3", 24),
        ("context.now < datetime(\"2026-11-25T15:00:00Z\")", 4),
    ] {
        let rules = format!("permit(principal, action, resource) when {{ {rule} }};");
        let policy = policy(&rules, PolicyMode::Enforce);
        let at = |hours: u64| {
            with_request(
                |_| {},
                Action::Encrypt,
                |request| {
                    let now = request.now + Duration::from_secs(hours * 3_600);
                    policy
                        .decide(&AuthorizationRequest { now, ..*request })
                        .outcome
                },
            )
        };
        let outcomes = [at(0), at(hours), at(0)];
        let expected = [
            PolicyOutcome::Permitted,
            PolicyOutcome::NotPermitted,
            PolicyOutcome::Permitted,
        ];
        assert_eq!(outcomes, expected, "{rule}");
    }
}

#[test]
fn the_cache_is_bounded() {
    let policy = policy("permit(principal, action, resource);", PolicyMode::Enforce);
    for n in 0..10_000 {
        let arn = format!("arn:aws:iam::111122223333:user/{n}");
        decide(
            &policy,
            |m| m["awsPrincipalArn"] = json!(arn),
            Action::Encrypt,
        );
    }
    assert!(policy.cache.len() <= 4_096);
    let long = "x".repeat(60_000);
    decide(&policy, |m| m["new"] = json!(long), Action::Encrypt);
}
