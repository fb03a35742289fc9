//! Tests wait for conditions: no test code sleeps for a fixed time, except in the listed files.

use std::fs;
use std::path::Path;

/// Test code that may call a function that sleeps, with the reason. All other tests wait for conditions by these (`tests/README.md`).
/// `tests/bench` measures by command, and keeps a pace: it is not searched.
const SLEEPERS: [(&str, &str); 14] = [
    (
        "src/sync/tests.rs",
        "a thread that never ends, while another one ends the process",
    ),
    (
        "tests/proxy/harness/metrics.rs",
        "`eventually`: all other tests poll with it",
    ),
    (
        "tests/proxy/kms_simulator/programs/steps.py",
        "`until`: the tests in Python poll with it",
    ),
    (
        "tests/faulty_pkcs11/gate.rs",
        "the delay of a slow device; a call that hangs polls for its release",
    ),
    (
        "tests/hanging_disk/lib.rs",
        "a call that hangs polls for its release",
    ),
    (
        "src/hsm/worker/session/tests/fakes.rs",
        "polls for a condition",
    ),
    (
        "src/audit/tests/full_disk.rs",
        "polls for a condition, in a process of its own",
    ),
    (
        "src/launcher/tests/front.rs",
        "polls for a condition, in a process of its own; a process that stays until it is killed",
    ),
    (
        "src/launcher/tests/process.rs",
        "polls for a condition, in a process of its own",
    ),
    (
        "src/launcher/tests/worker.rs",
        "a process that stays until it is killed",
    ),
    (
        "src/ekm/fake.rs",
        "the delay of a fake device, on a clock that tests stop and move",
    ),
    (
        "tests/proxy/http/connection_age.rs",
        "the pause between two requests of a poll for the last answer",
    ),
    (
        "tests/proxy/http/proxy_protocol/load.rs",
        "the pace of a load run, by command",
    ),
    (
        "src/toolkit/bench/load/tests.rs",
        "the stall of a target, which the bench has to measure",
    ),
];

/// Where test code is.
const TESTED: [&str; 4] = [
    "src",
    "tests/proxy",
    "tests/faulty_pkcs11",
    "tests/hanging_disk",
];

#[test]
fn tests_wait_for_conditions_and_never_sleep_for_a_fixed_time() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut unread) = (Vec::new(), TESTED.map(|path| root.join(path)).to_vec());
    while let Some(path) = unread.pop() {
        match path.is_dir() {
            true => unread.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path())),
            false => files.push(path),
        }
    }
    let mut sleepers: Vec<String> = Vec::new();
    for file in &files {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap();
        let is_read = name.ends_with(".rs") || name.ends_with(".py");
        if is_read && sleeps(test_code_of(name, &fs::read_to_string(file).unwrap())) {
            sleepers.push(name.to_owned());
        }
    }
    assert!(files.len() > 300, "only {} files found", files.len());
    for name in &sleepers {
        assert!(
            SLEEPERS.iter().any(|(file, _)| file == name),
            "{name}: a test sleeps for a fixed time; wait for a condition with `eventually`"
        );
    }
    for (file, reason) in SLEEPERS {
        assert!(
            sleepers.iter().any(|name| name == file),
            "{file} does not sleep any more ({reason}): remove it from the list"
        );
    }
}

/// The part of a file that only tests run.
fn test_code_of<'a>(name: &str, text: &'a str) -> &'a str {
    let is_test = |part: &str| matches!(part, "tests" | "tests.rs" | "fake.rs" | "vectors.rs");
    if name.split('/').any(is_test) {
        return text;
    }
    let is_module = |at: usize| {
        let next = text[at..].lines().nth(1);
        next.is_some_and(|line| line.contains("mod tests"))
    };
    let mut starts = text.match_indices("#[cfg(test)]").map(|(at, _)| at);
    starts
        .find(|at| is_module(*at))
        .map_or("", |at| &text[at..])
}

fn sleeps(code: &str) -> bool {
    let mut lines = code.lines().map(str::trim_start);
    let is_call = |line: &str| {
        let calls = ["sleep(", "sleep_until(", "park_timeout("];
        calls.iter().any(|call| line.contains(call))
    };
    lines.any(|line| !line.starts_with("//") && !line.starts_with('#') && is_call(line))
}

#[test]
fn the_searcher_for_sleep_finds_it_in_test_code_only() {
    let product = "fn pause() {\n    sleep(PAUSE).await;\n}\n";
    let tested = "#[cfg(test)]\nmod tests {\n    thread::sleep(LONG);\n}\n";
    let polite =
        "#[cfg(test)]\npub mod tests {\n    // thread::sleep(LONG);\n    advance(LONG);\n}\n";
    let found = |name: &str, text: &str| sleeps(test_code_of(name, text));
    assert!(!found("src/app/proxy.rs", product));
    assert!(found("src/app/proxy.rs", &format!("{product}{tested}")));
    assert!(!found("src/app/proxy.rs", &format!("{product}{polite}")));
    assert!(found("src/audit/tests/disk.rs", product));
    assert!(found("tests/proxy/hsm/error_attribution.rs", product));
}
