//! Policies of the kinds that operators write.

mod errors;
mod partitions;
mod samples;
mod unusual_metadata;

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::connections::ClientCertificate;
use crate::proxy_protocol::VpcEndpointId;
use crate::xks::EncryptRequest;

/// A Wednesday, 13:00 UTC.
const NOON: u64 = 1_795_611_600;

/// Permits no principal of these tests.
const NOBODY: &str = "permit(principal in Xks::Account::\"999922223333\", action, resource);";

pub(super) fn policy(text: &str, mode: PolicyMode) -> Policy {
    let source = PolicySource {
        name: "rules.cedar".into(),
        text: text.into(),
    };
    Policy::load(&[source], mode).unwrap().0
}

pub(super) fn decide(
    policy: &Policy,
    change: impl FnOnce(&mut serde_json::Value),
    action: Action,
) -> Decision {
    with_request(change, action, |request| policy.decide(request))
}

/// Calls `ask` with the authorization request of an Encrypt request.
pub(super) fn with_request<T>(
    change: impl FnOnce(&mut serde_json::Value),
    action: Action,
    ask: impl FnOnce(&AuthorizationRequest<'_>) -> T,
) -> T {
    let mut metadata = json!({
        "awsPrincipalArn": "arn:aws:sts::111122223333:assumed-role/Orders/i-0abc",
        "kmsOperation": "Encrypt",
        "kmsRequestId": "r-1",
        "kmsKeyArn": "arn:aws:kms:eu-west-1:444455556666:key/x",
        "kmsViaService": "s3",
        "awsSourceVpc": "vpc-1",
    });
    change(&mut metadata);
    let body =
        json!({ "requestMetadata": metadata, "plaintext": "", "encryptionAlgorithm": "AES_GCM" });
    let request = EncryptRequest::parse(body.to_string().as_bytes()).unwrap();
    ask(&AuthorizationRequest {
        action,
        store: "payments",
        region: "eu-west-1",
        key: "orders",
        labels: &["orders-2026".to_owned()],
        tags: &[("class".to_owned(), "secret".to_owned())],
        metadata: &request.metadata,
        client_certificate: ClientCertificate::Verified,
        transport: Transport::default(),
        now: UNIX_EPOCH + Duration::from_secs(NOON),
    })
}

fn outcome(rules: &str) -> (PolicyOutcome, Vec<String>) {
    let decision = decide(&policy(rules, PolicyMode::Enforce), |_| {}, Action::Encrypt);
    (decision.outcome, decision.policies)
}

#[test]
fn rules_can_use_each_part_of_a_request() {
    for condition in [
        "principal in Xks::Account::\"111122223333\"",
        "principal in Xks::Role::\"arn:aws:iam::111122223333:role/Orders\"",
        "principal == Xks::Principal::\"arn:aws:sts::111122223333:assumed-role/Orders/i-0abc\"",
        "principal.kind == \"assumed-role\" && principal has name && principal.name == \"Orders\"",
        "principal has session && principal.session like \"i-*\"",
        "principal has account && principal.account == \"111122223333\"",
        "resource in Xks::KeyStore::\"payments\"",
        "resource == Xks::Key::\"payments/orders\"",
        "resource.id == \"orders\" && resource.store == \"payments\"",
        "resource.labels.contains(\"orders-2026\")",
        "resource.hasTag(\"class\") && resource.getTag(\"class\") == \"secret\"",
        "context has kmsViaService && context.kmsViaService == \"s3\"",
        "context has awsSourceVpc && context.awsSourceVpc == \"vpc-1\"",
        "context has kmsKeyAccount && context.kmsKeyAccount == \"444455556666\"",
        "context.kmsOperation == \"Encrypt\" && context.region == \"eu-west-1\"",
        "context.client_certificate == \"verified\"",
        "context.hour >= 9 && context.hour < 17 && context.weekday <= 5",
        "context.now > datetime(\"2026-01-01\")",
    ] {
        let rules = |condition: &str| {
            format!(
                "@id(\"it\") permit(principal, action in Xks::Action::\"Use\", resource) when {{ {condition} }};"
            )
        };
        assert_eq!(
            outcome(&rules(condition)),
            (PolicyOutcome::Permitted, vec!["it".into()]),
            "{condition}"
        );
        let not = format!("!({condition})");
        assert_eq!(
            outcome(&rules(&not)),
            (PolicyOutcome::NotPermitted, vec![]),
            "{condition}"
        );
    }
}

#[test]
fn rules_can_use_unknown_fields_of_the_metadata() {
    let rules = "permit(principal, action, resource) when { context.other.contains({ name: \"team\", value: \"red\" }) };";
    let policy = policy(rules, PolicyMode::Enforce);
    let red = decide(&policy, |m| m["team"] = json!("red"), Action::Decrypt);
    assert_eq!(
        (red.outcome, red.policies),
        (PolicyOutcome::Permitted, vec!["rules.cedar#1".to_owned()])
    );
    let blue = decide(
        &policy,
        |m| m["team"] = json!({ "name": "blue" }),
        Action::Decrypt,
    );
    assert_eq!(blue.outcome, PolicyOutcome::NotPermitted);
}

#[test]
fn a_rule_that_forbids_overrides_one_that_permits_and_the_default_is_denial() {
    let permit = "@id(\"all\") permit(principal, action, resource);";
    let forbid = "@id(\"not-there\") forbid(principal, action, resource) when { context has awsSourceVpc && context.awsSourceVpc == \"vpc-1\" };";
    assert_eq!(
        outcome(permit),
        (PolicyOutcome::Permitted, vec!["all".into()])
    );
    assert_eq!(
        outcome(&format!("{permit}{forbid}")),
        (PolicyOutcome::Forbidden, vec!["not-there".into()])
    );
    assert_eq!(outcome(NOBODY), (PolicyOutcome::NotPermitted, vec![]));
    let describe = "permit(principal, action in Xks::Action::\"Describe\", resource);";
    assert_eq!(outcome(describe).0, PolicyOutcome::NotPermitted);
}

#[test]
fn mode_observe_allows_and_reports_the_outcome() {
    let decision = decide(
        &policy(NOBODY, PolicyMode::Observe),
        |_| {},
        Action::Encrypt,
    );
    assert!(decision.is_allowed);
    assert_eq!(decision.outcome, PolicyOutcome::NotPermitted);
    let enforced = decide(
        &policy(NOBODY, PolicyMode::Enforce),
        |_| {},
        Action::Encrypt,
    );
    assert!(!enforced.is_allowed);
}

/// STS omits the path of a role from the ARN of its sessions.
#[test]
fn sessions_of_a_role_with_a_path_match_the_role() {
    let role = "principal in Xks::Role::\"arn:aws:iam::111122223333:role/team/Contractors\"";
    let permit = policy(
        &format!("permit({role}, action, resource);"),
        PolicyMode::Enforce,
    );
    let forbid = "permit(principal, action, resource); forbid(principal, action, resource) when";
    let forbid = policy(&format!("{forbid} {{ {role} }};"), PolicyMode::Enforce);
    let account = "principal in Xks::Account::\"111122223333\"";
    let account_policy =
        format!("permit(principal, action, resource) when {{ {role} && {account} }};");
    let account_policy = policy(&account_policy, PolicyMode::Enforce);
    for (principal, is_in) in [
        (
            "arn:aws:sts::111122223333:assumed-role/Contractors/alice",
            true,
        ),
        ("arn:aws:iam::111122223333:role/team/Contractors", true),
        ("arn:aws:iam::111122223333:role/Contractors", true),
        ("arn:aws:iam::111122223333:role/other/Contractors", false),
        (
            "arn:aws:sts::999922223333:assumed-role/Contractors/alice",
            false,
        ),
        (
            "arn:aws-cn:sts::111122223333:assumed-role/Contractors/alice",
            false,
        ),
        (
            "arn:aws:sts::111122223333:assumed-role/contractors/alice",
            false,
        ),
        (
            "arn:aws:sts::111122223333:federated-user/Contractors",
            false,
        ),
        ("arn:aws:iam::111122223333:user/team/Contractors", false),
    ] {
        let change = |m: &mut serde_json::Value| m["awsPrincipalArn"] = json!(principal);
        let is_allowed = |policy| decide(policy, change, Action::Encrypt).is_allowed;
        assert_eq!(is_allowed(&permit), is_in, "{principal}");
        assert_eq!(is_allowed(&forbid), !is_in, "{principal}");
        assert_eq!(is_allowed(&account_policy), is_in, "{principal}");
    }
}

/// Measures the time of a decision by the number of rules. `tests/bench/policy` runs this.
#[test]
#[ignore = "a measurement: run it in release"]
fn measure() {
    for rules in [1, 20, 1_000, 10_000] {
        let rule = |n: u32| {
            format!(
                "permit(principal in Xks::Account::\"{n:012}\", action in Xks::Action::\"Use\", resource == Xks::Key::\"payments/k{n}\");\n"
            )
        };
        let text: String = (1..rules).map(rule).collect();
        let text = text + "permit(principal in Xks::Account::\"111122223333\", action, resource);";
        let began = std::time::Instant::now();
        let policy = policy(&text, PolicyMode::Enforce);
        let loaded = began.elapsed();
        let decisions = 1 + 200_000 / (rules + 100);
        let began = std::time::Instant::now();
        for _ in 0..decisions {
            assert!(decide(&policy, |_| {}, Action::Encrypt).is_permitted());
        }
        let again = began.elapsed() / decisions;
        let began = std::time::Instant::now();
        for _ in 0..decisions {
            with_request(|_| {}, Action::Encrypt, |request| policy.evaluate(request));
        }
        let first = began.elapsed() / decisions;
        println!(
            "{rules:6} rules: loaded in {loaded:?}; {first:?} per decision, {again:?} for a cached one"
        );
    }
}

#[test]
fn rules_can_use_the_load_balancer_s_data_about_the_connection() {
    let rules = r#"
        @id("through-our-endpoint")
        permit(principal, action, resource) when {
            context has transport_vpc_endpoint && context.transport_vpc_endpoint == "vpce-0123456789abcdef0"
            && context has client_address && context.client_address.isInRange(ip("10.20.0.0/16"))
        };"#;
    let policy = policy(rules, PolicyMode::Enforce);
    let decided = |endpoint: Option<&str>, client: Option<&str>| {
        let transport = Transport {
            vpc_endpoint: endpoint.and_then(|id| VpcEndpointId::parse(id.as_bytes())),
            client: client.map(|client| client.parse().unwrap()),
        };
        with_request(
            |_| {},
            Action::Encrypt,
            |request| {
                let request = AuthorizationRequest {
                    transport,
                    ..*request
                };
                policy.decide(&request).outcome
            },
        )
    };
    let (ours, other) = ("vpce-0123456789abcdef0", "vpce-0123456789abcdef1");
    // All use one policy: a cached decision must not be used for a different connection.
    for (endpoint, client, expected) in [
        (Some(ours), Some("10.20.30.40"), PolicyOutcome::Permitted),
        (
            Some(other),
            Some("10.20.30.40"),
            PolicyOutcome::NotPermitted,
        ),
        (Some(ours), Some("10.21.30.40"), PolicyOutcome::NotPermitted),
        (Some(ours), Some("2001:db8::1"), PolicyOutcome::NotPermitted),
        (None, Some("10.20.30.40"), PolicyOutcome::NotPermitted),
        (Some(ours), None, PolicyOutcome::NotPermitted),
        (None, None, PolicyOutcome::NotPermitted),
        (Some(ours), Some("10.20.30.40"), PolicyOutcome::Permitted),
    ] {
        assert_eq!(
            decided(endpoint, client),
            expected,
            "{endpoint:?} {client:?}"
        );
    }
}
