//! The sample policies in `config/policy`.

use super::*;

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
    let rules = include_str!("../../../config/policy/office-hours.cedar");
    let policy = policy(rules, PolicyMode::Enforce);
    let decision = decide(&policy, |_| {}, Action::Decrypt);
    assert_eq!(
        decision.outcome,
        PolicyOutcome::Permitted,
        "a Wednesday at noon"
    );
    let night = rules.replace("context.hour < 19", "context.hour < 9");
    let decision = decide(
        &super::policy(&night, PolicyMode::Enforce),
        |_| {},
        Action::Decrypt,
    );
    assert_eq!(
        (decision.outcome, decision.policies),
        (PolicyOutcome::Forbidden, vec!["office-hours".to_owned()])
    );
}
