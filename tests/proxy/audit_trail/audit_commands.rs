//! `audit show` and `policy explain --kms-request-id`: find the rule that denied a recorded call.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::command::{Ran, run};
use crate::harness::trail::Trail;
use crate::harness::wire::{decrypt_body, encrypt_body, plain_body, set};
use crate::harness::{PAYMENTS, Proxy, RETAIL};

const RULES: &str = "@id(\"alice\") permit(principal == Xks::Principal::\"arn:aws:iam::123456789012:user/Alice\", action, resource);
@id(\"not-the-ledger\") forbid(principal, action, resource == Xks::Key::\"payments/ledger\");";

/// Starts a proxy with a policy and an audit trail that starts a new file every few lines.
fn audited() -> (Proxy, Trail) {
    let mut trail = None;
    let proxy = Proxy::start_with(|setup| {
        let rules = setup.directory.join("rules.cedar");
        fs::write(&rules, RULES).unwrap();
        let policy = format!("[policy]\nengine = \"cedar\"\npath = {rules:?}\n");
        setup.edit("[server]\n", &format!("{policy}[server]\n"));
        trail = Some(setup.audit("rotate = { size = \"4KiB\" }"));
    });
    (proxy, trail.unwrap())
}

fn id_of(body: &Value) -> String {
    let id = &body["requestMetadata"]["kmsRequestId"];
    id.as_str().unwrap().to_owned()
}

fn with_metadata(body: &Value, field: &str, value: &str) -> Value {
    let mut metadata = body["requestMetadata"].clone();
    metadata[field] = json!(value);
    set(body, "requestMetadata", metadata)
}

fn shown(ran: &Ran) -> Vec<Value> {
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Runs `audit show --json` and returns the entries that it prints.
#[track_caller]
fn show(proxy: &Proxy, options: &[&str]) -> Vec<Value> {
    let arguments = [&["audit", "show", "--json"], options].concat();
    shown(&run(&proxy.setup, &arguments).expect(0, &[]))
}

/// Sends an Encrypt and a Decrypt that succeed, and an Encrypt and a GetKeyMetadata that the policy denies. Returns the bodies of the
/// Decrypt and of the denied Encrypt.
fn four_requests(proxy: &Proxy) -> (Value, Value) {
    let payments = proxy.caller(&PAYMENTS);
    let encrypted = payments.encrypt("orders", b"x");
    let decrypt = decrypt_body(&encrypted);
    payments.call("decrypt", "orders", &decrypt).ok();
    let denied = encrypt_body(b"x");
    payments
        .call("encrypt", "ledger", &denied)
        .assert_error(403, "AccessDeniedException");
    let mallory = with_metadata(
        &plain_body("metadata"),
        "awsPrincipalArn",
        "arn:aws:iam::1:user/Mallory",
    );
    proxy
        .caller(&RETAIL)
        .call("metadata", "stock", &mallory)
        .assert_error(403, "AccessDeniedException");
    (decrypt, denied)
}

#[test]
fn entries_are_found_by_filters() {
    let (proxy, _trail) = audited();
    let (decrypt, _) = four_requests(&proxy);
    let all = show(&proxy, &[]);
    assert!(all.len() >= 7, "{all:?}");
    assert_eq!(
        all.iter().map(|line| &line["seq"]).collect::<Vec<_>>(),
        (1..=all.len()).collect::<Vec<_>>()
    );
    for (options, expected) in [
        (vec!["--request-id", &id_of(&decrypt)], vec!["decrypt"]),
        (vec!["--key", "ledger"], vec!["encrypt"]),
        (
            vec!["--kind", "request", "--outcome", "ok"],
            vec!["encrypt", "decrypt"],
        ),
        (vec!["--outcome", "refused"], vec!["encrypt", "metadata"]),
        (
            vec!["--outcome", "refused", "--store", "retail"],
            vec!["metadata"],
        ),
        (
            vec!["--principal", "user/Mallory", "--since", "1h"],
            vec!["metadata"],
        ),
        (
            vec!["--principal", "user/Mallory", "--until", "2026-01-01"],
            vec![],
        ),
        (vec!["--outcome", "failed"], vec![]),
    ] {
        let found = show(&proxy, &options);
        let found: Vec<_> = found
            .iter()
            .map(|line| line["operation"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{options:?}");
    }
}

#[test]
fn an_entry_is_shown_in_columns() {
    let (proxy, _trail) = audited();
    let (_, denied) = four_requests(&proxy);
    let ran = run(
        &proxy.setup,
        &["audit", "show", "--request-id", &id_of(&denied)],
    );
    let parts = [
        "TIME (UTC)",
        "encrypt",
        "ledger",
        "AccessDeniedException",
        "user/Alice (policy: forbidden by not-the-ledger)",
    ];
    assert_eq!(ran.expect(0, &parts).stdout.lines().count(), 2);
}

#[test]
fn json_output_has_the_lines_of_the_files_byte_for_byte() {
    let (proxy, trail) = audited();
    let payments = proxy.caller(&PAYMENTS);
    for _ in 0..16 {
        payments.encrypt("orders", b"x");
    }
    let ran = run(&proxy.setup, &["audit", "show", "--json"]);
    let files = trail.files();
    let text: String = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    assert!(text.starts_with(&ran.stdout) && files.len() > 1, "{ran}");
}

#[test]
fn text_from_a_caller_cannot_control_the_terminal() {
    let (proxy, _) = audited();
    let nasty = "\u{1b}[2J\u{9b}31m\r\nforged\u{202e}\u{2028}\u{7f}";
    let body = with_metadata(&encrypt_body(b"x"), "awsPrincipalArn", nasty);
    let body = with_metadata(&body, "kmsViaService", nasty);
    proxy
        .caller(&PAYMENTS)
        .call("encrypt", "orders", &body)
        .assert_error(403, "AccessDeniedException");
    let id = id_of(&body);
    let shown =
        run(&proxy.setup, &["audit", "show", "--request-id", &id]).expect(0, &["\\u{1b}[2J"]);
    let explained = run(
        &proxy.setup,
        &["policy", "explain", "--kms-request-id", &id],
    );
    let explained = explained.expect(1, &["\\u{1b}[2J"]);
    for ran in [shown, explained] {
        let is_plain = |c: char| c == '\n' || (' '..='~').contains(&c);
        assert!(ran.stdout.chars().all(is_plain), "{ran}");
    }
}

#[test]
fn a_recorded_request_is_explained_by_the_current_policy() {
    let (proxy, _) = audited();
    let payments = proxy.caller(&PAYMENTS);
    let body = with_metadata(&encrypt_body(b"x"), "kmsViaService", "s3");
    payments
        .call("encrypt", "ledger", &body)
        .assert_error(403, "AccessDeniedException");
    let id = id_of(&body);
    let explain = |options: &[&str]| {
        let arguments = [&["policy", "explain", "--kms-request-id", &id], options].concat();
        run(&proxy.setup, &arguments)
    };
    // plain-english: quotation of an outcome in the audit trail
    let then = "then: refused, AccessDeniedException, policy: forbidden by not-the-ledger (rules: not-the-ledger)";
    let request = "Encrypt with payments/ledger by arn:aws:iam::123456789012:user/Alice via s3";
    explain(&[]).expect(1, &[request, then, "now:  forbidden by not-the-ledger"]);
    let report = explain(&["--json"]).expect(1, &[]).json();
    assert_eq!(report["recorded"]["policies"], json!(["not-the-ledger"]));
    let alice = RULES.lines().next().unwrap();
    fs::write(proxy.setup.directory.join("rules.cedar"), alice).unwrap();
    explain(&[]).expect(0, &[then, "now:  permitted by alice"]);
    let unknown = run(
        &proxy.setup,
        &["policy", "explain", "--kms-request-id", "no-such-request"],
    );
    unknown.expect(
        2,
        &["no audit log line is about the request \"no-such-request\""],
    );
    run(&proxy.setup, &["policy", "explain", "--store", "payments"]).expect(2, &["--key"]);
}

#[test]
fn an_auditor_needs_no_secret() {
    let (mut proxy, _) = audited();
    let body = encrypt_body(b"x");
    proxy.caller(&PAYMENTS).call("encrypt", "orders", &body);
    let id = id_of(&body);
    // An auditor cannot read secrets and private keys, and only the service has the credentials of systemd.
    proxy.setup.set("hsm", "pin", "{ credential = \"pin\" }");
    for file in private_files(&proxy.setup.directory) {
        fs::remove_file(file).unwrap();
    }
    let asked = |arguments: &[&str]| run(&proxy.setup, arguments);
    asked(&["audit", "show", "--request-id", &id]).expect(0, &["encrypt"]);
    asked(&["audit", "verify"]).expect(0, &["the chain holds"]);
    asked(&["policy", "check"]).expect(0, &[]);
    asked(&["policy", "explain", "--kms-request-id", &id]).expect(0, &["permitted by alice"]);
    asked(&["check-config"]).expect(78, &["pin", "secret", "private_key"]);
}

/// Returns every file of mode 0600 that the configuration names, except the files of the audit trail.
fn private_files(directory: &Path) -> Vec<PathBuf> {
    let names = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = fs::read_dir(directory).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|path| path.is_file())
        .filter(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600)
        .filter(|path| !names(path).contains("audit") && !names(path).ends_with(".toml"))
        .collect()
}

/// A command that runs until the test ends.
struct Following(Child);

impl Following {
    fn start(path: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xks-proxy"));
        command
            .args(["audit", "show", "--follow", "--json", "--kind", "request"])
            .arg(path);
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may already have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn follow_shows_every_line_of_every_file() {
    let (proxy, trail) = audited();
    let mut following = Following::start(trail.path());
    let payments = proxy.caller(&PAYMENTS);
    let bodies: Vec<Value> = (0..40).map(|_| plain_body("metadata")).collect();
    let mut lines = BufReader::new(following.0.stdout.take().unwrap()).lines();
    for (at, body) in bodies.iter().enumerate() {
        payments.call("metadata", "orders", body).ok();
        // Reads the lines in groups of five. Both single lines and groups cross the end of a file.
        if at % 5 == 4 {
            for body in &bodies[at - 4..=at] {
                let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
                assert_eq!(line["request_metadata"]["kmsRequestId"], json!(id_of(body)));
            }
        }
    }
    assert!(trail.files().len() > 4);
}

#[test]
fn a_reader_that_closes_its_pipe_is_not_an_error() {
    let (proxy, trail) = audited();
    for _ in 0..10 {
        proxy.caller(&PAYMENTS).encrypt("orders", b"x");
    }
    let long = proxy.setup.directory.join("long.jsonl");
    fs::write(&long, fs::read_to_string(trail.path()).unwrap().repeat(200)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(["audit", "show"])
        .arg(&long)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert!(first.starts_with("TIME (UTC)"), "{first}");
    let mut stderr_text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr_text)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), stderr_text.as_str()),
        (Some(0), "")
    );
}
