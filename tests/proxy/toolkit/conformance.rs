//! `xks-proxy conformance`: green against the proxy, red against each of its mutants, by the case that is meant to see it.

mod mutant;
mod mutants;

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::pki::KMS_SUBJECT;
use crate::harness::target::Nobody;
use crate::harness::{PAYMENTS, PAYMENTS_NEXT, Proxy, StoreName};
use mutant::Mutant;
use mutants::{Change, MUTANTS};

/// The KMS console's file of a credential.
fn console_file(proxy: &Proxy, store: &StoreName) -> PathBuf {
    let file = json!({
        "XksProxyUriPath": format!("{}/kms/xks/v1", store.prefix),
        "XksProxyAuthenticationCredential": {
            "AccessKeyId": store.access_key_id,
            "RawSecretAccessKey": store.secret,
        },
    });
    let name = format!("{}.json", store.access_key_id);
    proxy.setup.write_private(&name, &file.to_string())
}

/// Judges what listens on this port of localhost.
fn conformance(proxy: &Proxy, port: u16, options: &[&str]) -> Output {
    let authority = proxy.setup.directory.join("conformance-ca.pem");
    std::fs::write(&authority, proxy.setup.authority.pem()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(["conformance", "--endpoint"])
        .arg(format!("https://localhost:{port}"))
        .arg("--ca")
        .arg(authority)
        .arg("--credential")
        .arg(console_file(proxy, &PAYMENTS))
        .arg("--second-credential")
        .arg(console_file(proxy, &PAYMENTS_NEXT))
        .args(["--region", PAYMENTS.region, "--patience", "30", "--json"])
        .args(["--key", "orders", "--second-key", "ledger"])
        .args(["--encrypt-only-key", "encrypt-only"])
        .args(["--decrypt-only-key", "decrypt-only"])
        .args(["--disabled-key", "switched-off"])
        .args(options)
        .output()
        .unwrap()
}

#[track_caller]
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    })
}

/// The ids of the cases with this outcome.
fn with_outcome(report: &Value, outcome: &str) -> Vec<String> {
    let cases = report["cases"].as_array().unwrap().iter();
    let found = cases.filter(|case| case["outcome"] == outcome);
    found
        .map(|case| format!("{}: {}", case["id"].as_str().unwrap(), case["reason"]))
        .collect()
}

#[track_caller]
fn assert_green(output: &Output) -> Value {
    let report = report(output);
    assert_eq!(with_outcome(&report, "fail"), Vec::<String>::new());
    assert_eq!(with_outcome(&report, "warn"), Vec::<String>::new());
    assert_eq!(output.status.code(), Some(0));
    report
}

#[test]
fn the_proxy_conforms() {
    let proxy = Proxy::start();
    let junit = proxy.setup.directory.join("report.xml");
    let options = ["--junit", junit.to_str().unwrap()];
    let output = conformance(&proxy, proxy.server.port(), &options);
    let report = assert_green(&output);
    let skipped = with_outcome(&report, "skip");
    let other = skipped
        .iter()
        .find(|case| !case.starts_with("deprecated-mtls-"));
    assert_eq!(other, None, "only the deprecated group was left out");
    assert!(
        report["passed"].as_u64() > Some(300),
        "{}",
        report["passed"]
    );
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("failures=\"0\""), "{xml}");
    for store in [&PAYMENTS, &PAYMENTS_NEXT] {
        let said = [output.stdout.as_slice(), &output.stderr, xml.as_bytes()].concat();
        assert!(!String::from_utf8_lossy(&said).contains(store.secret));
    }
}

/// The options of a client certificate.
fn certificates(proxy: &Proxy) -> Vec<String> {
    let right = proxy.setup.client_authority.client(KMS_SUBJECT);
    let wrong = proxy.setup.client_authority.client("someone-else");
    let server = proxy.setup.client_authority.server_named(KMS_SUBJECT);
    let mut options = Vec::new();
    for (option, identity) in [
        ("client", &right),
        ("wrong-subject", &wrong),
        ("server-auth-only", &server),
    ] {
        for (part, text) in [
            ("certificate", &identity.certificate_pem),
            ("key", &identity.key_pem),
        ] {
            let file = proxy
                .setup
                .write_private(&format!("{option}-{part}.pem"), text);
            options.push(format!("--{option}-{part}"));
            options.push(file.display().to_string());
        }
    }
    options
}

/// Judges the proxy in this mode as one that is said to be in another, or in none.
fn judged_as(proxy: &Proxy, mode: Option<&str>, only: &[&str]) -> Output {
    let options = certificates(proxy);
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.extend(mode.iter().flat_map(|mode| ["--client-auth-mode", mode]));
    options.extend(only.iter().flat_map(|pattern| ["--only", pattern]));
    conformance(proxy, proxy.server.port(), &options)
}

#[test]
fn a_proxy_conforms_in_each_mode_of_client_authentication() {
    for mode in ["off", "optional", "required"] {
        let proxy = Proxy::start_with(|setup| setup.client_auth(mode));
        let report = assert_green(&judged_as(&proxy, Some(mode), &[]));
        let skipped = with_outcome(&report, "skip");
        let alerts = skipped.iter().filter(|case| case.contains("-alert-"));
        assert_eq!(alerts.count(), skipped.len(), "{mode}: {skipped:?}");
        assert_eq!(
            skipped.is_empty(),
            mode == "required",
            "{mode}: {skipped:?}"
        );
    }
}

#[test]
fn a_proxy_in_another_mode_is_seen() {
    let refused = ["deprecated-mtls-*"];
    let off = Proxy::start_with(|setup| setup.client_auth("off"));
    let output = judged_as(&off, Some("required"), &refused);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report(&output)["failed"], 12);
    let required = Proxy::start_with(|setup| setup.client_auth("required"));
    for mode in ["optional", "off"] {
        let output = judged_as(&required, Some(mode), &refused);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(report(&output)["failed"], 12, "{mode}");
    }
}

#[test]
fn client_certificates_are_not_judged_unless_the_mode_is_given() {
    for mode in ["off", "optional", "required"] {
        let proxy = Proxy::start_with(|setup| setup.client_auth(mode));
        let report = assert_green(&judged_as(&proxy, None, &["deprecated-mtls"]));
        assert_eq!(
            (&report["passed"], &report["failed"]),
            (&json!(0), &json!(0))
        );
    }
}

#[test]
fn who_changes_nothing_conforms() {
    let proxy = Proxy::start();
    let mutant = Mutant::start(&proxy, Change::Answers(|_| {}));
    let mut options = Vec::new();
    for (_, case, _) in &MUTANTS {
        options.extend(["--only", *case]);
    }
    assert_green(&conformance(&proxy, mutant.port(), &options));
}

#[test]
fn each_mutant_is_caught_by_its_case() {
    let proxy = Proxy::start();
    assert!(MUTANTS.len() >= 20);
    let mut missed = Vec::new();
    for (name, case, change) in MUTANTS {
        let mutant = Mutant::start(&proxy, change);
        let output = conformance(&proxy, mutant.port(), &["--only", case]);
        let report = report(&output);
        let failed = with_outcome(&report, "fail");
        let own = failed
            .iter()
            .find(|found| found.starts_with(&format!("{case}:")));
        // A mutant that does not answer would be caught by anything.
        let caught =
            own.is_some_and(|found| !found.contains("no answer") && !found.contains("no TLS"));
        if !caught || output.status.code() != Some(1) {
            missed.push(format!("{name}, by {case}: {report}"));
        }
    }
    assert!(missed.is_empty(), "not caught: {}", missed.join("\n"));
}

#[test]
fn a_proxy_that_is_not_there_fails_every_case_that_calls_it() {
    let proxy = Proxy::start();
    let nobody = Nobody::bind();
    let output = conformance(&proxy, nobody.port(), &["--only", "health"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report(&output)["passed"], 0);
}

/// `deploy/operate.md` has a table of the cases by section and severity.
#[test]
fn the_page_has_the_counts_of_the_list() {
    let page = include_str!("../../../deploy/operate.md");
    let output = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(["conformance", "--list"])
        .output()
        .unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    for section in 2..=7 {
        let count = |severity: &str| {
            let start = format!("§{section} {severity} ");
            list.lines().filter(|line| line.starts_with(&start)).count()
        };
        let (must, should) = (count("MUST"), count("SHOULD"));
        let row = format!("| {section} | {must} | {should} | ");
        assert!(page.contains(&row), "no row {row} in the page");
    }
}

#[test]
fn the_list_names_cases_and_what_cannot_be_tested() {
    let list = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xks-proxy"));
        let output = command
            .args(["conformance", "--list"])
            .args(options)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (status, text) = list(&[]);
    assert_eq!(status, Some(0));
    for wanted in [
        "cdiv-with-aad",
        "§7 MUST   signature-stale",
        "constant time",
        "MUST  SHOULD",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }
    assert_eq!(list(&["--only", "no-such-case"]).0, Some(2));
}
