//! A library whose access to a path is denied by the sandbox. The log and the commands show the path and the setting.

use std::fs;

use crate::harness::Proxy;
use crate::harness::command::run;
use crate::harness::product::Product;
use crate::harness::setup::Setup;

const SETTING: &str = "add it to writable of this [[hsm]]";

/// Uses an empty token directory that is not writable. SoftHSM opens existing tokens without writing.
fn without_tokens(setup: &mut Setup) -> String {
    let tokens = setup.token.tokens();
    setup.not_writable(&tokens);
    fs::remove_dir_all(&tokens).unwrap();
    fs::create_dir(&tokens).unwrap();
    tokens.canonicalize().unwrap().display().to_string()
}

fn stores_tokens_in_files() -> bool {
    Product::under_test() == Product::SoftHsm
}

#[test]
fn log_and_command_show_a_token_directory_that_is_not_writable() {
    if !stores_tokens_in_files() {
        return;
    }
    let mut tokens = String::new();
    let proxy = Proxy::launch(|setup| tokens = without_tokens(setup));
    let line = proxy.daemon.wait_for("why not", |line| {
        line["message"] == "the HSM cannot be opened"
    });
    let error = line["error"].as_str().unwrap();
    let named = format!("{tokens} (named by ");
    assert!(error.contains(&named) && error.contains(SETTING), "{line}");
    let why = ["the sandbox may be the reason: ", &named, SETTING];
    run(&proxy.setup, &["check-config", "--hsm"]).expect(1, &why);
    let answer = run(&proxy.setup, &["check-config", "--hsm", "--json"]).json();
    assert!(answer["faults"].is_array() && answer["checks"]["faults"].to_string().contains(&named));
}

/// The token cannot store a key.
#[test]
fn a_failed_key_creation_shows_the_token_directory() {
    if !stores_tokens_in_files() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    let tokens = setup.token.tokens();
    setup.not_writable(&tokens);
    let named = tokens.canonicalize().unwrap();
    let why = [named.to_str().unwrap(), SETTING];
    run(&setup, &["key", "create", "--label", "new-one"]).expect(1, &why);
    setup.writable(&tokens);
    run(&setup, &["key", "create", "--label", "new-one"]).expect(0, &["new-one"]);
}

/// The error does not mention the sandbox if the PIN is the cause, or if the sandbox is disabled.
#[test]
fn other_errors_do_not_mention_the_sandbox() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(directory.path());
    setup.not_writable(&setup.token.tokens());
    let wrong = setup.write_private("wrong-pin", "0000");
    setup.set("hsm", "pin", &format!("{{ file = {wrong:?} }}"));
    let rejected = run(&setup, &["check-config", "--hsm"]).expect(1, &["rejected the PIN"]);
    assert!(!rejected.stderr.contains("sandbox"), "{rejected}");
    setup.set("hsm", "danger_no_sandbox", "true");
    setup.set("hsm", "token", "{ label = \"nobody\" }");
    let absent = run(&setup, &["check-config", "--hsm"]).expect(1, &["nobody"]);
    assert!(!absent.stderr.contains("may be the reason"), "{absent}");
}
