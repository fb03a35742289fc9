//! Requests with metadata of unknown forms or of unusual size.

use super::*;

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
