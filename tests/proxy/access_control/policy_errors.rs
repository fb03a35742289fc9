//! Policies with errors, without effect, or with many rules. Errors are rejected with their place, rules without effect cause warnings, and ten
//! thousand rules can be loaded, replaced and evaluated.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::harness::command::{Ran, run};
use crate::harness::setup::Setup;
use crate::harness::wire::{encrypt_body, set};
use crate::harness::{PAYMENTS, Proxy};

const ALICE: &str = "@id(\"alice\") permit(principal == Xks::Principal::\"arn:aws:iam::123456789012:user/Alice\", action, resource);\n";

/// Adds `[policy]` with a directory of one file. Returns the path of the file.
fn rules(setup: &mut Setup, text: &str) -> PathBuf {
    let directory = setup.directory.join("policy");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("rules.cedar"), text).unwrap();
    let table = format!("[policy]\nengine = \"cedar\"\npath = {directory:?}\n");
    setup.edit("[server]\n", &format!("{table}[server]\n"));
    directory.join("rules.cedar")
}

/// A configuration with one policy file.
struct Rules {
    setup: Setup,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Rules {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut setup = Setup::new(directory.path());
        Self {
            file: rules(&mut setup, ALICE),
            setup,
            _directory: directory,
        }
    }

    /// Runs `policy check` on a file with this content.
    fn check(&self, content: impl AsRef<[u8]>, options: &[&str]) -> Ran {
        fs::write(&self.file, content).unwrap();
        run(&self.setup, &[&["policy", "check"], options].concat())
    }
}

#[test]
fn errors_in_rules_are_reported_with_their_places() {
    let rules = Rules::new();
    for (fault, parts) in [
        (
            "permit(principal, action, resource)",
            ["rules.cedar (line 1)", ""],
        ),
        ("\n\npermit(princ", ["rules.cedar (line 3)", ""]),
        (
            "permit(principal, action, resource) when { context.nonsense };",
            ["nonsense", ""],
        ),
        (
            "permit(principal, action, resource) when { principal.age > 3 };",
            ["age", ""],
        ),
        (
            "permit(principal == Aws::User::\"x\", action, resource);",
            ["Aws::User", ""],
        ),
        (
            "permit(principal, action == Xks::Action::\"Encipher\", resource);",
            ["Encipher", ""],
        ),
        (
            "@id(\"a\") permit(principal, action, resource);@id(\"a\") permit(principal, action, resource);",
            ["\"a\"", "twice"],
        ),
        ("\u{0}", ["rules.cedar", ""]),
    ] {
        rules.check(fault, &[]).expect(78, &parts);
        rules.check(fault, &["--strict"]).expect(78, &parts);
    }
    rules.check(b"permit\xff", &[]).expect(78, &["not UTF-8"]);
    rules
        .check("// nobody yet\n", &[])
        .expect(78, &["rules.cedar: contains no rule"]);
    fs::write(&rules.file, ALICE).unwrap();
    let Rules { setup, file, .. } = &rules;
    fs::rename(file, file.with_extension("bak")).unwrap();
    for command in [["policy", "check"].as_slice(), &["check-config"]] {
        run(setup, command).expect(78, &["has no .cedar file: everything would be denied"]);
    }
}

#[test]
fn rules_without_effect_cause_warnings() {
    let rules = Rules::new();
    let twice = format!(
        "{ALICE}{}",
        ALICE.replace("@id(\"alice\")", "@id(\"again\")")
    );
    let overruled = format!("{ALICE}@id(\"nobody\") forbid(principal, action, resource);");
    let never = "@id(\"never\") permit(principal, action, resource) when { principal.kind == \"user\" && false };";
    for (text, part) in [
        (twice.as_str(), "\"again\" is a duplicate of \"alice\""),
        (
            &overruled,
            "\"alice\" never permits anything: \"nobody\" forbids all of it",
        ),
        (never, "never"),
    ] {
        let parts = ["warning: ", part, "rules: ok"];
        rules.check(text, &[]).expect(0, &parts);
        rules
            .check(text, &["--strict"])
            .expect(1, &["warning: ", part]);
    }
    rules
        .check(ALICE, &["--strict"])
        .expect(0, &["1 rules: ok"]);
}

/// A rule with a name that cannot exist, and a part of the warning.
const UNKNOWN: [(&str, &str); 6] = [
    (
        "permit(principal, action, resource in Xks::KeyStore::\"paymentz\");",
        "names the key store \"paymentz\", which the configuration does not have; did you mean \"payments\"?",
    ),
    (
        "permit(principal, action, resource == Xks::Key::\"payments/orderz\");",
        "names the key \"payments/orderz\", which the configuration does not have; did you mean \"payments/orders\"?",
    ),
    (
        "permit(principal, action, resource) when { resource.store == \"paymentz\" };",
        "names the key store \"paymentz\"",
    ),
    (
        "permit(principal in Xks::Account::\"12345678901\", action, resource);",
        "names the account \"12345678901\", but an account id has twelve digits",
    ),
    (
        "permit(principal in Xks::Role::\"arn:aws:sts::123456789012:assumed-role/Orders/i-1\", action, resource);",
        "which is a session; its role is \"arn:aws:iam::123456789012:role/Orders\"",
    ),
    (
        "forbid(principal, action, resource) when { resource.hasTag(\"class\") };",
        "names the tag \"class\", which the configuration does not have",
    ),
];

#[test]
fn rules_with_names_that_cannot_exist_cause_warnings() {
    let Rules { setup, file, .. } = &Rules::new();
    for (rule, part) in UNKNOWN {
        fs::write(file, format!("{ALICE}@id(\"misspelt\") {rule}")).unwrap();
        for command in [&["policy", "check"][..], &["check-config"]] {
            let parts = ["warning: ", "policy.path: \"misspelt\" names the ", part];
            run(setup, command).expect(0, &parts);
            run(setup, &[command, &["--strict"]].concat()).expect(1, &parts);
        }
    }
}

#[test]
fn a_policy_without_effect_is_never_silent() {
    let Rules { setup, file, .. } = &Rules::new();
    let policy = file.parent().unwrap();
    for (name, code, part) in [
        (
            "deny/x.cedar",
            78,
            "deny/x.cedar is not read: subdirectories are not searched",
        ),
        (
            "b.CEDAR",
            78,
            "b.CEDAR is not read: the ending must be .cedar in lower case",
        ),
        (
            "b.cedar.disabled",
            0,
            "b.cedar.disabled is not read: policy files end in .cedar",
        ),
    ] {
        let path = policy.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "@id(\"no\") forbid(principal, action, resource);").unwrap();
        for command in [&["policy", "check"][..], &["check-config"]] {
            run(setup, command).expect(code, &["policy.path: ", part]);
        }
        if code == 78 {
            run(setup, &["serve"]).expect(78, &[part]);
        }
        fs::remove_file(&path).unwrap();
        // Removes the directory if it is empty.
        drop(fs::remove_dir(path.parent().unwrap()));
    }
    run(setup, &["policy", "check", "--strict"]).expect(0, &["1 rules: ok"]);
}

#[test]
fn a_running_proxy_reports_policies_without_effect() {
    let mut file = PathBuf::new();
    let proxy = Proxy::start_with(|setup| {
        file = rules(setup, ALICE);
        let misspelt =
            "@id(\"typo\") permit(principal, action, resource in Xks::KeyStore::\"paymentz\");";
        fs::write(file.with_file_name("typo.cedar"), misspelt).unwrap();
    });
    let policy = file.parent().unwrap();
    let logged = |field: &str, part: &str| {
        proxy.daemon.wait_for(part, |line| {
            line["message"] == "configuration"
                && line[field].as_str().is_some_and(|text| text.contains(part))
        })
    };
    logged("warning", "\"typo\" names the key store \"paymentz\"");
    let payments = proxy.caller(&PAYMENTS);

    // Emacs locks a file with a dangling link and leaves copies beside it. None of them is read.
    std::os::unix::fs::symlink("alice@host.1234:1", policy.join(".#rules.cedar")).unwrap();
    for name in ["rules.cedar~", "#rules.cedar#", ".rules.cedar.swp"] {
        fs::write(policy.join(name), "permit(").unwrap();
    }
    proxy.await_reload("unchanged", 0.0);
    assert_eq!(proxy.reloads("refused"), 0.0);

    // A rule that would have no effect is an error, even if it is added later to an empty directory.
    let deny = policy.join("deny");
    fs::create_dir(&deny).unwrap();
    logged("warning", "policy/deny is not read: it is a directory");
    fs::write(deny.join("x.cedar"), "forbid(principal, action, resource);").unwrap();
    proxy.await_reload("refused", 0.0);
    logged("fault", "deny/x.cedar is not read");
    payments.call("encrypt", "orders", &encrypt_body(b"x")).ok();
    fs::rename(deny.join("x.cedar"), policy.join("x.cedar")).unwrap();
    proxy.await_reload("applied", 0.0);
    payments
        .call("encrypt", "orders", &encrypt_body(b"x"))
        .assert_error(403, "AccessDeniedException");
}

#[test]
fn ten_thousand_rules_are_loaded_replaced_and_evaluated() {
    let many = |name: &str| -> String {
        let rule = |n: u32| {
            format!(
                "@id(\"{name}-{n}\") permit(principal in Xks::Account::\"{n:012}\", action in Xks::Action::\"Use\", resource == Xks::Key::\"payments/{name}-{n}\");\n"
            )
        };
        (0..10_000).map(rule).collect()
    };
    let mut file = PathBuf::new();
    let proxy = Proxy::start_with(|setup| file = rules(setup, &many("a")));
    let payments = proxy.caller(&PAYMENTS);
    let body = encrypt_body(b"x");
    payments
        .call("encrypt", "orders", &body)
        .assert_error(403, "AccessDeniedException");
    let before = proxy.reloads("applied");
    fs::write(file.with_extension("new"), many("b") + ALICE).unwrap();
    fs::rename(file.with_extension("new"), &file).unwrap();
    proxy.await_reload("applied", before);
    payments.call("encrypt", "orders", &encrypt_body(b"x")).ok();
}

#[test]
fn very_large_metadata_is_evaluated() {
    let proxy = Proxy::start_with(|setup| {
        let red = "@id(\"red\") permit(principal, action, resource) when { context.other.contains({ name: \"team-40\", value: \"r\u{e9}d \\u{1F511}\" }) };";
        rules(setup, red);
        setup.set("server.limits", "max_body", "\"128KiB\"");
    });
    let payments = proxy.caller(&PAYMENTS);
    for (team, status) in [("réd \u{1F511}", 200), ("blue\n\u{0}\u{1b}", 403)] {
        let body = encrypt_body(b"x");
        let mut metadata = body["requestMetadata"].clone();
        for n in 0..70 {
            metadata[format!("team-{n}")] = json!("x".repeat(1000));
        }
        metadata["team-40"] = json!(team);
        metadata["deep"] = json!([[[{ "a": null }]]]);
        let body = set(&body, "requestMetadata", metadata);
        assert!(body.to_string().len() > 64 * 1024);
        assert_eq!(payments.call("encrypt", "orders", &body).status, status);
        proxy.access_line(&body);
    }
}
