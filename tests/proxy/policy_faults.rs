//! Policies that are wrong, useless or huge: what has faults is refused with the place, what is useless is warned about, and ten
//! thousand rules are loaded, exchanged and asked.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::harness::command::{Ran, run};
use crate::harness::setup::Setup;
use crate::harness::wire::{encrypt_body, set};
use crate::harness::{PAYMENTS, Proxy};

const ALICE: &str = "@id(\"alice\") permit(principal == Xks::Principal::\"arn:aws:iam::123456789012:user/Alice\", action, resource);\n";

/// Adds `[policy]` with a directory of one file; says where that is.
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
    let Rules { setup, file, .. } = &rules;
    fs::rename(file, file.with_extension("bak")).unwrap();
    for command in [["policy", "check"].as_slice(), &["check-config"]] {
        run(setup, command).expect(78, &["has no .cedar file: everything would be denied"]);
    }
}

#[test]
fn rules_that_decide_nothing_are_warnings() {
    let rules = Rules::new();
    let twice = format!(
        "{ALICE}{}",
        ALICE.replace("@id(\"alice\")", "@id(\"again\")")
    );
    let overruled = format!("{ALICE}@id(\"nobody\") forbid(principal, action, resource);");
    let never = "@id(\"never\") permit(principal, action, resource) when { principal.kind == \"user\" && false };";
    for (useless, part) in [
        (twice.as_str(), "\"again\" says the same as \"alice\""),
        (
            &overruled,
            "\"alice\" never permits anything: \"nobody\" forbids all of it",
        ),
        (never, "never"),
    ] {
        let parts = ["warning: ", part, "rules: ok"];
        rules.check(useless, &[]).expect(0, &parts);
        rules
            .check(useless, &["--strict"])
            .expect(1, &["warning: ", part]);
    }
    rules
        .check(ALICE, &["--strict"])
        .expect(0, &["1 rules: ok"]);
}

#[test]
fn ten_thousand_rules_are_loaded_exchanged_and_asked() {
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
fn metadata_as_large_as_a_body_may_be_is_judged() {
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
