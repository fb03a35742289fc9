//! Errors and warnings about rules.

use super::*;

fn errors(text: &str) -> String {
    let source = PolicySource {
        name: "rules.cedar".into(),
        text: text.into(),
    };
    let errors = Policy::load(&[source], PolicyMode::Enforce).unwrap_err();
    errors.iter().map(|f| format!("{f}\n")).collect()
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

#[test]
fn rules_that_never_apply_cause_warnings() {
    let source = PolicySource {
        name: "rules.cedar".into(),
        text: "permit(principal, action, resource) when { false };".into(),
    };
    let (_, warnings) = Policy::load(&[source], PolicyMode::Enforce).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}
