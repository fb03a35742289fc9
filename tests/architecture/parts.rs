//! The parts of `src/pkcs11` import only lower parts, so that a reader can learn them one after the other.

use crate::resolver::{Imports, imports};
use crate::sources::sources;

/// The directories of `src/pkcs11`, lowest first. A part imports only parts before it.
const PKCS11_PARTS: &[&str] = &[
    "library",
    "token",
    "keys",
    "aes_gcm",
    "health_key",
    "error_attribution",
    "key_proofs",
    "worker_state",
    "sessions",
    "health_monitor",
    "administration",
];

/// Imports that the order of the parts would allow but that are forbidden: the commands of the operator do not use what serves jobs.
const FORBIDDEN: &[(&str, &str)] = &[
    ("administration", "worker_state"),
    ("administration", "sessions"),
    ("administration", "health_monitor"),
];

/// The part of `src/pkcs11` that a file belongs to; none for other files, and for `pkcs11` itself.
fn part(file: &str) -> Option<&str> {
    file.strip_prefix("pkcs11/")?.split('/').next()
}

fn position(part: &str) -> usize {
    let found = PKCS11_PARTS.iter().position(|name| *name == part);
    found.unwrap_or_else(|| panic!("the part {part:?} has no place: add it to PKCS11_PARTS"))
}

fn wrong(imports: &Imports) -> Vec<String> {
    let is_wrong = |from: &str, to: &str| match (part(from), part(to)) {
        (Some(from), Some(to)) => position(to) > position(from) || FORBIDDEN.contains(&(from, to)),
        (Some(_), None) => to == "pkcs11",
        (None, _) => false,
    };
    let found = imports.keys().filter(|(from, to)| is_wrong(from, to));
    found
        .map(|(from, to)| format!("{from} imports {to}"))
        .collect()
}

#[test]
fn parts_of_pkcs11_import_lower_parts_only() {
    let wrong = wrong(&imports(&sources()));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_import_of_a_higher_part_is_found() {
    let edges = [
        ("pkcs11/keys/table", "pkcs11/library/ffi"),
        ("pkcs11/keys/table", "pkcs11/sessions"),
        ("pkcs11/administration/proof", "pkcs11/worker_state"),
        ("pkcs11/token/slot", "pkcs11"),
        ("worker/run", "pkcs11"),
    ];
    let edges = edges.map(|(from, to)| ((from.to_owned(), to.to_owned()), String::new()));
    let found = wrong(&Imports::from(edges));
    assert_eq!(
        found,
        [
            "pkcs11/administration/proof imports pkcs11/worker_state",
            "pkcs11/keys/table imports pkcs11/sessions",
            "pkcs11/token/slot imports pkcs11",
        ]
    );
}
