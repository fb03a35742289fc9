//! The rules of the architecture, checked on the text of the sources: imports between modules, the content of files, and their first line.
//!
//! Test code is not checked: files and items that are compiled only under `#[cfg(test)]`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "architecture/cycles.rs"]
mod cycles;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/parts.rs"]
mod parts;
#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/resolver.rs"]
mod resolver;
#[path = "architecture/scanner.rs"]
mod scanner;
#[path = "architecture/sleep.rs"]
mod sleep;
#[path = "architecture/sources.rs"]
mod sources;

use std::path::Path;

use scanner::{contains, count};
use sources::sources;

/// The files with `unsafe`, with the reason.
const UNSAFE_FILES: &[(&str, &str)] = &[
    (
        "pkcs11/library/ffi.rs",
        "calls PKCS#11 functions that cryptoki does not offer",
    ),
    (
        "hsm_protocol/launch/inherited.rs",
        "sets a flag of inherited descriptors, which no Rust value owns",
    ),
];

/// A longer file has more than one subject.
const MAX_LINES: usize = 350;

/// The files that may read a secret or a plaintext, with the reason.
const EXPOSING_FILES: &[(&str, &str)] = &[
    (
        "hsm_protocol/jobs/answer.rs",
        "writes a plaintext into the frame for the front",
    ),
    (
        "hsm_protocol/jobs/job.rs",
        "writes a plaintext into the frame for a worker",
    ),
    (
        "private_file.rs",
        "writes new credentials to files of mode 0600",
    ),
    (
        "migrate/stores.rs",
        "recognizes the sample proxy's placeholder secrets",
    ),
    (
        "pkcs11/administration/proof.rs",
        "compares its own plaintext",
    ),
    ("pkcs11/health_key/check.rs", "compares its own plaintext"),
    (
        "pkcs11/sessions/encryption.rs",
        "passes the plaintext to the HSM, and compares it with what the HSM decrypted",
    ),
    ("pkcs11/token/login.rs", "passes the PIN to the HSM"),
    (
        "server/layers/authenticate.rs",
        "hashes the request body for its signature",
    ),
    ("server/layers/dispatch.rs", "parses the request body"),
    (
        "sigv4/credential.rs",
        "checks the length of a secret, and derives the signing key",
    ),
    (
        "simulator/api/cryptography/ciphertexts.rs",
        "encrypts its callers' plaintexts, and returns them",
    ),
    (
        "simulator/api/cryptography/double_encryption.rs",
        "opens the outer layer of the double encryption",
    ),
    ("simulator/api/proxy_calls.rs", "reads a proxy's response"),
    (
        "simulator/api/stores/rules.rs",
        "checks the form of a new secret",
    ),
    (
        "simulator/proxy/responses.rs",
        "reads ciphertexts in a proxy's response",
    ),
    (
        "simulator/state/stores.rs",
        "writes the state file, of mode 0600",
    ),
    ("toolkit/bench/pool.rs", "reads a proxy's response"),
    (
        "toolkit/bench/run.rs",
        "reads ciphertexts in a proxy's response",
    ),
    ("toolkit/conformance/wire/sign.rs", "signs requests"),
    ("toolkit/probe/calls.rs", "reads a proxy's response"),
    (
        "xks/console.rs",
        "writes the file that the KMS console imports",
    ),
    ("xks/response.rs", "writes the plaintext into a response"),
];

#[test]
fn unsafe_is_in_few_files() {
    for source in sources() {
        let mut files = UNSAFE_FILES.iter();
        let is_listed = files.any(|(file, _)| source.path == Path::new(file));
        let has_unsafe = ["unsafe", "unsafe_code"]
            .iter()
            .any(|word| contains(&source.tokens, &[word]));
        assert_eq!(has_unsafe, is_listed, "{}", source.path.display());
        if is_listed {
            let blocks = count(&source.tokens, &["unsafe", "{"]);
            let notes = source.text.matches("// SAFETY:").count();
            assert_eq!(blocks, notes, "each unsafe block has its SAFETY note");
        }
    }
}

/// The files that start threads or tasks themselves, with the reason.
const SPAWNING_FILES: &[(&str, &str)] = &[
    (
        "app/auditor/first_seal.rs",
        "calls HSMs in tasks that it joins; a panic ends the process",
    ),
    (
        "launcher/processes/children.rs",
        "starts processes, not threads",
    ),
    (
        "server/run.rs",
        "accepts in tasks that the drain joins; a panic ends the process",
    ),
    (
        "simulator/http/listener.rs",
        "contains the panics of connections, and joins them",
    ),
    ("sync/fatal.rs", "needs a thread to end the process"),
    ("sync/spawn.rs", "starts all others"),
];

#[test]
fn threads_and_tasks_are_started_in_one_module() {
    let calls: [&[&str]; 6] = [
        &["tokio", "::", "spawn"],
        &["task", "::", "spawn"],
        &["spawn_blocking"],
        &["thread", "::", "spawn"],
        &["thread", "::", "Builder"],
        &[".", "spawn", "("],
    ];
    for source in sources() {
        let starts = calls.iter().any(|call| contains(&source.tokens, call));
        let path = source.path.to_str().unwrap();
        let is_listed = SPAWNING_FILES.iter().any(|(file, _)| *file == path);
        assert_eq!(
            starts, is_listed,
            "{path}: start it with crate::sync, or change SPAWNING_FILES"
        );
    }
}

#[test]
fn poisoned_locks_are_handled_in_one_file() {
    for source in sources() {
        let handles = contains(&source.tokens, &["PoisonError"])
            || contains(&source.tokens, &["lock", "(", ")", ".", "ok"]);
        assert_eq!(
            handles,
            source.path == Path::new("sync/lock.rs"),
            "{}: use crate::sync::poisoned",
            source.path.display()
        );
    }
}

#[test]
fn secrets_are_exposed_in_few_files() {
    let exposes = |tokens: &[String]| {
        let calls = [".", "::"].iter();
        calls
            .clone()
            .any(|before| contains(tokens, &[before, "expose"]))
    };
    let sources = sources();
    let exposing: Vec<_> = sources
        .iter()
        .filter(|source| exposes(&source.tokens))
        .map(|source| source.path.to_str().unwrap())
        .collect();
    let listed: Vec<_> = EXPOSING_FILES.iter().map(|(file, _)| *file).collect();
    let new: Vec<_> = exposing
        .iter()
        .filter(|file| !listed.contains(file))
        .collect();
    assert!(
        new.is_empty(),
        "these files read a secret; avoid it, or add them to EXPOSING_FILES with the reason: {new:#?}"
    );
    let gone: Vec<_> = listed
        .iter()
        .filter(|file| !exposing.contains(file))
        .collect();
    assert!(
        gone.is_empty(),
        "these files read no secret; shrink EXPOSING_FILES: {gone:#?}"
    );
}

#[test]
fn files_start_with_their_promise_and_stay_short() {
    for source in sources() {
        let path = source.path.display();
        assert!(
            source.text.starts_with("//!"),
            "{path} does not start with //!"
        );
        let lines = source.text.lines().count();
        assert!(
            lines <= MAX_LINES || source.tokens.is_empty(),
            "{path} has {lines} lines"
        );
        assert!(
            !source.path.ends_with("mod.rs"),
            "{path}: a module is module.rs beside module/"
        );
    }
}

#[test]
fn lints_are_relaxed_by_expectation_only() {
    for source in sources() {
        let path = source.path.display();
        for start in [&["#", "[", "allow"][..], &["#", "!", "[", "allow"]] {
            assert!(
                !contains(&source.tokens, start),
                "{path} relaxes a lint with `allow`"
            );
        }
    }
}
