//! Policies of the kinds that operators write.

mod partitions;

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

fn errors(text: &str) -> String {
    let source = PolicySource {
        name: "rules.cedar".into(),
        text: text.into(),
    };
    let errors = Policy::load(&[source], PolicyMode::Enforce).unwrap_err();
    errors.iter().map(|f| format!("{f}\n")).collect()
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

#[test]
fn principals_of_unknown_forms_are_evaluated() {
    let rules = "permit(principal, action, resource) when { principal.kind == \"other\" };";
    let policy = policy(rules, PolicyMode::Enforce);
    for arn in ["x", "arn:\u{1F511}", "\"];{}", "a\nb", &"y".repeat(2_048)] {
        let decision = decide(
            &policy,
            |m| m["awsPrincipalArn"] = json!(arn),
            Action::Encrypt,
        );
        assert!(decision.is_allowed, "{arn:?}");
    }
}

#[test]
fn errors_in_rules_are_reported() {
    let text = errors("permit(principal, action, resource) when { context.nonsense };");
    assert!(text.contains("nonsense"), "{text}");
    let text = errors("\n\npermit(principal action, resource);");
    assert!(text.contains("rules.cedar (line 3)"), "{text}");
    let text = errors(
        "@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);",
    );
    assert!(text.contains("\"a\") is used twice"), "{text}");
    let text = errors("permit(principal == ?principal, action, resource);");
    assert!(text.contains("templates"), "{text}");
    // The field is optional, so a policy must use `has` first.
    let text =
        errors("permit(principal, action, resource) when { context.awsSourceVpc == \"x\" };");
    assert!(text.contains("awsSourceVpc"), "{text}");
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
    let of_account = format!("permit(principal, action, resource) when {{ {role} && {account} }};");
    let of_account = policy(&of_account, PolicyMode::Enforce);
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
        assert_eq!(is_allowed(&of_account), is_in, "{principal}");
    }
}

#[test]
fn rules_that_never_apply_cause_warnings() {
    let source = PolicySource {
        name: "rules.cedar".into(),
        text: "permit(principal, action, resource) when { false };".into(),
    };
    let (_, warnings) = Policy::load(&[source], PolicyMode::Enforce).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

/// Every sample is a policy without errors or warnings.
#[test]
fn the_samples_are_valid_policies() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policy");
    let (mut samples, mut names) = (0, Names::default());
    names.add_store("payments", "eu-west-1");
    names.add_key("payments", "ledger", [].into_iter(), ["class"].into_iter());
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "cedar") {
            continue;
        }
        samples += 1;
        let source = PolicySource {
            name: path.display().to_string(),
            text: std::fs::read_to_string(&path).unwrap(),
        };
        let (policy, mut warnings) = Policy::load(&[source], PolicyMode::Enforce).unwrap();
        warnings.extend(policy.unknown_names(&names));
        assert!(warnings.is_empty(), "{}: {warnings:?}", path.display());
    }
    assert_eq!(samples, 6);
}

#[test]
fn the_sample_for_office_hours_depends_on_the_hour() {
    let rules = include_str!("../../config/policy/office-hours.cedar");
    let policy = policy(rules, PolicyMode::Enforce);
    let decision = decide(&policy, |_| {}, Action::Decrypt);
    assert_eq!(
        decision.outcome,
        PolicyOutcome::Permitted,
        "a Wednesday at noon"
    );
    let night = rules.replace("context.hour < 19", "context.hour < 9");
    let decision = decide(
        &super::tests::policy(&night, PolicyMode::Enforce),
        |_| {},
        Action::Decrypt,
    );
    assert_eq!(
        (decision.outcome, decision.policies),
        (PolicyOutcome::Forbidden, vec!["office-hours".to_owned()])
    );
}

#[test]
fn text_that_is_not_an_arn_is_evaluated() {
    let rules = "permit(principal, action, resource) when { principal.kind == \"other\" && !(principal has account) && !(context has kmsKeyAccount) };";
    let policy = policy(rules, PolicyMode::Enforce);
    for text in [
        "arn",
        "arn:aws",
        "arn:::::",
        "arn:aws:iam::12345678901:nothing",
        "arn:aws:iam::1234567890123:user/x",
        "arn:aws:iam::\u{661}\u{662}\u{663}:user/x",
        "ü\u{1F511}\u{202e}",
        "\u{0}\u{1b}[2J\r\n",
    ] {
        let nasty = |m: &mut serde_json::Value| {
            for field in [
                "awsPrincipalArn",
                "kmsKeyArn",
                "kmsViaService",
                "awsSourceVpc",
                "other",
            ] {
                m[field] = json!(text);
            }
        };
        let decision = decide(&policy, nasty, Action::Encrypt);
        assert!(
            decision.outcome == PolicyOutcome::Permitted || text.contains(":user/"),
            "{text:?}: {decision:?}"
        );
    }
}

#[test]
fn sixty_four_kib_of_unknown_fields_are_evaluated() {
    let rules = "permit(principal, action, resource) when { context.other.contains({ name: \"f999\", value: \"[1,{\\\"a\\\":null}]\" }) };";
    let policy = policy(rules, PolicyMode::Enforce);
    let many = |m: &mut serde_json::Value| {
        for n in 0..1000 {
            m[format!("f{n}")] = json!("x".repeat(60));
        }
        m["f999"] = json!([1, { "a": null }]);
    };
    assert!(decide(&policy, many, Action::Decrypt).is_permitted());
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
