//! The parts of `src/pkcs11`, `src/server` and `src/simulator` import only lower parts, so that a reader can learn them one after the other.

use crate::resolver::{Imports, imports};
use crate::sources::sources;

/// The modules whose parts have an order, with their parts, lowest first. A part imports only parts before it.
const PARTS: &[(&str, &[&str])] = &[
    ("pkcs11", PKCS11_PARTS),
    ("server", SERVER_PARTS),
    ("simulator", SIMULATOR_PARTS),
];

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

const SERVER_PARTS: &[&str] = &[
    "response",
    "tls",
    "unverified",
    "request",
    "settings",
    "metrics",
    "live",
    "received",
    "connection",
    "layers",
    "run",
    "fuzzing",
];

const SIMULATOR_PARTS: &[&str] = &[
    "wire",
    "policy",
    "callers",
    "crypto",
    "proxy",
    "state",
    "cloudtrail",
    "cloudwatch",
    "metrics",
    "events",
    "settings",
    "kms",
    "api",
    "http",
    "run",
];

/// Imports that the order of the parts would allow but that are forbidden. The operator's commands do not use the code that runs jobs, and the layers do
/// not depend on connections.
const FORBIDDEN: &[(&str, &str)] = &[
    ("administration", "worker_state"),
    ("administration", "sessions"),
    ("administration", "health_monitor"),
    ("layers", "connection"),
];

/// Returns the module and the part that a file belongs to; `None` for files of other modules, and for a module's own file.
fn part(file: &str) -> Option<(&'static str, &str)> {
    PARTS.iter().find_map(|(module, _)| {
        let rest = file.strip_prefix(module)?.strip_prefix('/')?;
        Some((*module, rest.split('/').next()?))
    })
}

fn position(module: &str, part: &str) -> usize {
    let parts = PARTS.iter().find(|(name, _)| *name == module);
    let found = parts.and_then(|(_, parts)| parts.iter().position(|name| *name == part));
    found
        .unwrap_or_else(|| panic!("the part {part:?} of {module} has no position: add it to PARTS"))
}

fn wrong(imports: &Imports) -> Vec<String> {
    let is_wrong = |from: &str, to: &str| match (part(from), part(to)) {
        (Some((module, from)), Some((other, to))) if module == other => {
            position(module, to) > position(module, from) || FORBIDDEN.contains(&(from, to))
        }
        (Some((module, _)), None) => to == module,
        _ => false,
    };
    let found = imports.keys().filter(|(from, to)| is_wrong(from, to));
    found
        .map(|(from, to)| format!("{from} imports {to}"))
        .collect()
}

#[test]
fn parts_import_lower_parts_only() {
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
        ("server/connection/serve", "server/layers/observe"),
        ("server/layers/admit", "server/metrics"),
        ("simulator/api/dispatch", "simulator/state"),
        ("simulator/state/stores", "simulator/api/authorize"),
        ("worker/run", "pkcs11"),
        ("app/proxy", "server/run"),
    ];
    let edges = edges.map(|(from, to)| ((from.to_owned(), to.to_owned()), String::new()));
    let found = wrong(&Imports::from(edges));
    assert_eq!(
        found,
        [
            "pkcs11/administration/proof imports pkcs11/worker_state",
            "pkcs11/keys/table imports pkcs11/sessions",
            "pkcs11/token/slot imports pkcs11",
            "server/connection/serve imports server/layers/observe",
            "simulator/state/stores imports simulator/api/authorize",
        ]
    );
}
