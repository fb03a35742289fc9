//! Policies: what is in their directory, and what they name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{GOOD, directory};
use crate::config::{Findings, Loaded, outline, parse};

const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

/// The configuration with a policy in the directory `policy`, and whatever `add` puts beside it.
fn with_policy(rules: &str, add: impl FnOnce(&Path)) -> Result<Loaded, Findings> {
    let directory = directory();
    let policy = directory.path().join("policy");
    fs::create_dir(&policy).unwrap();
    fs::write(policy.join("a.cedar"), rules).unwrap();
    add(&policy);
    let table = "[policy]\nengine = \"cedar\"\npath = \"policy\"\n[[hsm]]";
    let text = GOOD.replace("[[hsm]]", table);
    // The commands for auditors report the same findings.
    let file = directory.path().join("config.toml");
    fs::write(&file, &text).unwrap();
    let (loaded, outline) = (parse(&text, directory.path()), outline(&file));
    match (&loaded, &outline) {
        (Ok(loaded), Ok(outline)) => assert_eq!(loaded.warnings, outline.warnings),
        (Err(faults), Err(of_outline)) => assert_eq!(faults, of_outline),
        other => panic!("{other:?}"),
    }
    loaded
}

fn write(directory: &Path, name: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let rule = "permit(principal, action == Xks::Action::\"Encrypt\", resource);";
    fs::write(path, rule).unwrap();
}

#[test]
fn files_of_editors_and_volumes_are_ignored() {
    let loaded = with_policy(ALL, |policy| {
        symlink("alice@host.1234:1", policy.join(".#a.cedar")).unwrap();
        for name in [
            "a.cedar~",
            "#a.cedar#",
            ".a.cedar.swp",
            ".hidden.cedar",
            "a.cedar.swp",
        ] {
            fs::write(policy.join(name), "permit(").unwrap();
        }
        write(policy, "..2026_11_27/a.cedar");
        symlink("..2026_11_27", policy.join("..data")).unwrap();
        symlink("..data/a.cedar", policy.join("b.cedar")).unwrap();
        write(policy, "README.md");
        write(policy, "schema.cedarschema");
    })
    .unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.configuration.policy.unwrap().len(), 2);
}

#[test]
fn a_policy_that_is_not_read_is_an_error() {
    for (name, what) in [
        (
            "b.CEDAR",
            "policy/b.CEDAR is not read: the ending must be .cedar in lower case",
        ),
        (
            "deny/x.cedar",
            "policy/deny/x.cedar is not read: subdirectories are not searched",
        ),
        (
            "deny/deeper/x.Cedar",
            "policy/deny/deeper/x.Cedar is not read",
        ),
        ("x.cedar/y.cedar", "policy/x.cedar/y.cedar is not read"),
    ] {
        let faults = with_policy(ALL, |policy| write(policy, name)).unwrap_err();
        assert!(faults.to_string().contains(what), "{name}: {faults}");
        assert_eq!(faults.0.len(), 1, "{faults}");
    }
    let faults = with_policy(ALL, |policy| {
        write(policy.parent().unwrap(), "shared/x.cedar");
        symlink("../shared", policy.join("deny")).unwrap();
    });
    assert!(
        faults
            .unwrap_err()
            .to_string()
            .contains("policy/deny/x.cedar is not read")
    );
}

#[test]
fn another_file_that_is_not_read_is_warned_about() {
    for (name, what) in [
        (
            "b.cedar.bak",
            "policy/b.cedar.bak is not read: policy files end in .cedar",
        ),
        ("rules.txt", "policy/rules.txt is not read"),
        ("README", "policy/README is not read"),
        (
            "deny/rules.txt",
            "policy/deny is not read: it is a directory",
        ),
    ] {
        let loaded = with_policy(ALL, |policy| write(policy, name)).unwrap();
        let found: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("policy.path: ") && found[0].contains(what),
            "{found:?}"
        );
    }
}

#[test]
fn an_empty_policy_file_is_an_error() {
    for text in ["", "\n", "// no rule yet\n"] {
        let faults = with_policy(ALL, |policy| {
            fs::write(policy.join("b.cedar"), text).unwrap()
        });
        let faults = faults.unwrap_err().to_string();
        assert!(
            faults.contains("policy.path: b.cedar: contains no rule"),
            "{faults}"
        );
    }
}

#[test]
fn names_that_the_configuration_does_not_have_are_warned_about() {
    let rules = "@id(\"typos\") permit(principal, action, resource in Xks::KeyStore::\"paymentz\") when { resource.id == \"orderz\" };";
    let loaded = with_policy(rules, |_| {}).unwrap();
    let found: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("policy.path: \"typos\" names the key store \"paymentz\""),
        "{found:?}"
    );
    assert!(found[1].contains("did you mean \"orders\"?"), "{found:?}");
    let good = "permit(principal, action, resource == Xks::Key::\"payments/orders\") when { resource.labels.contains(\"orders\") && context.region == \"eu-west-1\" };";
    assert_eq!(with_policy(good, |_| {}).unwrap().warnings, []);
}

#[test]
fn a_rule_about_client_certificates_is_warned_about_when_none_is_requested() {
    let warnings_of = |condition: &str| {
        let rule =
            format!("@id(\"it\") permit(principal, action, resource) when {{ {condition} }};");
        let loaded = with_policy(&rule, |_| {}).unwrap();
        let warnings = loaded.warnings.iter().map(ToString::to_string);
        warnings.collect::<Vec<_>>()
    };
    let absent = warnings_of(
        "context.client_certificate == \"verified\" || context.client_certificate == \"absent\"",
    );
    assert_eq!(absent.len(), 1, "{absent:?}");
    let warning = "policy.path: \"it\" tests client_certificate, which is always \"off\"";
    assert!(absent[0].contains(warning), "{absent:?}");
    assert_eq!(
        warnings_of("context.client_certificate == \"off\""),
        Vec::<String>::new()
    );
    let misspelt = warnings_of("context.client_certificate == \"valid\"");
    assert!(
        misspelt[0].contains("known are: off, absent, verified"),
        "{misspelt:?}"
    );
}

#[test]
fn a_policy_that_everybody_can_change_is_an_error() {
    use std::os::unix::fs::PermissionsExt as _;
    for (name, mode) in [("a.cedar", 0o646), (".", 0o777), (".", 0o1777)] {
        let faults = with_policy(ALL, |policy| {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(policy.join(name), permissions).unwrap();
        });
        let faults = faults.unwrap_err().to_string();
        assert!(
            faults.contains("policy.path: everybody can "),
            "{name}: {faults}"
        );
    }
}
