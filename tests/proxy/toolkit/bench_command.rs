//! `xks-proxy bench`: its figures are those of a caller, and it puts no load on other people's endpoints.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::commands::command_line::run;
use crate::harness::control::Function;
use crate::harness::outage::faulty;
use crate::harness::target::{Nobody, command, options, with};
use crate::harness::{PAYMENTS, Proxy};

/// Runs bench, and returns its exit code and its report.
#[track_caller]
fn bench(options: &[String], more: &[&str]) -> (Option<i32>, Value) {
    let more = [&["--json", "--key", "orders"], more].concat();
    let (code, stdout, stderr) = command("bench", options, &more);
    let report = serde_json::from_str(&stdout);
    (
        code,
        report.unwrap_or_else(|_| panic!("{code:?} {stdout}{stderr}")),
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const OPEN_LOOP: [&str; 14] = [
    "--rate",
    "60",
    "--duration",
    "1s",
    "--timeout",
    "30s",
    "--verify-every",
    "1",
    "--mix",
    "encrypt=3,decrypt=2,metadata=1,health=1",
    "--sizes",
    "0,32,4096",
    "--new-connections",
    "10",
];

#[test]
fn an_open_loop_makes_every_request_and_compares_plaintexts() {
    let proxy = Proxy::start();
    let options = options(&proxy, &PAYMENTS);
    let file = |name| proxy.setup.directory.join(name);
    let (saved, page) = (file("saved.json"), file("page.html"));
    let files = ["--save", text(&saved), "--html", text(&page)];
    let (code, report) = bench(&options, &[&OPEN_LOOP[..], &files].concat());
    assert_eq!(
        (code, &report["total"]["requests"]),
        (Some(0), &60.into()),
        "{report}"
    );
    assert_eq!(report["total"]["failed"], 0);
    assert_eq!(report["operations"].as_object().unwrap().len(), 4);
    assert_eq!(
        report["verified"],
        report["operations"]["decrypt"]["requests"]
    );
    assert!(
        report["connections"]["opened"].as_u64().unwrap() >= 6,
        "{report}"
    );
    let served = proxy.metric("xks_requests_total", &[("operation", "encrypt")]);
    assert!(served.is_none_or(|served| served >= 25.0), "{served:?}");

    let page = fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<polyline").count(), 6);
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
    assert_compares_with(&saved, &options);
}

/// Runs a shorter bench that is compared with a saved report.
#[track_caller]
fn assert_compares_with(saved: &Path, options: &[String]) {
    let compare = [
        "--rate",
        "60",
        "--duration",
        "500ms",
        "--timeout",
        "30s",
        "--compare",
        text(saved),
        "--key",
        "orders",
    ];
    let (code, stdout, stderr) = command("bench", options, &compare);
    assert_eq!(code, Some(0), "{stderr}");
    for part in [
        "requests/s",
        "p99.9 ms",
        "compared with",
        "different parameters",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

const EIGHT_CONNECTIONS: [&str; 7] = [
    "--mix",
    "encrypt",
    "--no-cdiv",
    "--connections",
    "8",
    "--duration",
    "1s",
];

#[test]
fn a_slow_device_shows_in_every_request_that_was_due() {
    let (proxy, device) = faulty();
    let options = options(&proxy, &PAYMENTS);
    // Four sessions of 200 ms: 20 requests a second. On 8 connections a response takes at most 0.4 s after sending. But 60 requests are due
    // within a second, and the last of them waits for about two.
    device.set_delay(Function::Encrypt, 200_000);
    let patient = [&EIGHT_CONNECTIONS[..], &["--timeout", "60s"]].concat();
    let (code, open) = bench(&options, &[&patient[..], &["--rate", "60"]].concat());
    assert_eq!(
        (code, &open["total"]["requests"]),
        (Some(0), &60.into()),
        "{open}"
    );
    assert!(
        open["total"]["max_us"].as_u64().unwrap() > 1_200_000,
        "{open}"
    );
    assert!(
        open["total"]["p50_us"].as_u64().unwrap() > 600_000,
        "{open}"
    );

    let (code, closed) = bench(&options, &[&patient[..], &["--closed"]].concat());
    assert_eq!(code, Some(0), "{closed}");
    assert!(
        closed["total"]["requests"].as_u64().unwrap() < 60,
        "{closed}"
    );

    // The timeout of KMS, from the intended start of a request.
    let (code, impatient) = bench(
        &options,
        &[&EIGHT_CONNECTIONS[..], &["--rate", "60"]].concat(),
    );
    assert_eq!(code, Some(1));
    assert!(
        impatient["failures"]["timeout"].as_u64().unwrap() > 20,
        "{impatient}"
    );
}

#[test]
fn errors_are_counted_by_their_names() {
    let proxy =
        Proxy::start_with(|setup| setup.in_store(&PAYMENTS, "quota = { rate = 1, burst = 1 }"));
    let more = [
        "--closed",
        "--connections",
        "2",
        "--duration",
        "1s",
        "--timeout",
        "30s",
        "--mix",
        "metadata",
    ];
    let (code, report) = bench(&options(&proxy, &PAYMENTS), &more);
    assert_eq!(code, Some(1));
    let throttled = &report["failures"]["ThrottlingException"];
    assert!(throttled.as_u64() > Some(0), "{report}");
    assert_eq!(*throttled, report["total"]["failed"]);
}

#[test]
fn a_ramp_finds_what_the_device_can_do() {
    let (proxy, device) = faulty();
    // Four sessions of 50 ms: 80 requests a second.
    device.set_delay(Function::Encrypt, 50_000);
    let more = [
        "--ramp",
        "--rate",
        "40",
        "--duration",
        "500ms",
        "--mix",
        "encrypt",
        "--no-cdiv",
    ];
    let (_, report) = bench(&options(&proxy, &PAYMENTS), &more);
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps[0]["rate"], 40.0);
    let is_fast = |step: &&Value| step["rate"].as_f64().unwrap() >= 320.0;
    assert!(
        steps
            .iter()
            .filter(is_fast)
            .all(|step| step["held"] == false),
        "{steps:?}"
    );
    assert!(steps.iter().any(|step| step["held"] == false), "{steps:?}");
}

#[test]
fn no_load_is_put_on_other_machines() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, PAYMENTS.secret).unwrap();
    // An address for documentation, which is in no network.
    let target = [
        "bench",
        "--endpoint",
        "https://192.0.2.1",
        "--path",
        "/kms/xks/v1",
        "--key",
        "orders",
    ];
    let credential = [
        "--access-key-id",
        PAYMENTS.access_key_id,
        "--secret-file",
        text(&secret),
    ];
    let (code, _, stderr) = run(&[&target[..], &credential].concat());
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--i-own-this-endpoint"), "{stderr}");
}

#[test]
fn an_unreachable_target_is_reported_at_once() {
    let proxy = Proxy::start();
    let nobody = Nobody::bind();
    let options = with(
        &options(&proxy, &PAYMENTS),
        "--endpoint",
        &nobody.endpoint(),
    );
    let (code, stdout, stderr) =
        command("bench", &options, &["--key", "orders", "--duration", "1h"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("the health request failed"), "{stderr}");
    assert!(!stderr.contains(PAYMENTS.secret));
}
