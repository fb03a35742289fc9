//! Checks the imports of each module, and the crates that it names.
//!
//! A module imports only modules of lower layers, and none of the same layer. Test code may import any module.

use crate::paths::names;
use crate::resolver::absolute;
use crate::scanner::{is_name, scan};
use crate::sources::{Source, sources};

/// Every module directly below `src/`, with its layer.
const LAYERS: &[(&str, u8)] = &[
    ("main", 9),
    ("bin", 9),
    ("cli", 8),
    ("app", 7),
    ("launcher", 7),
    ("worker", 7),
    ("config", 6),
    ("migrate", 6),
    ("server", 5),
    ("admin", 5),
    ("logging", 5),
    ("inventory", 5),
    ("toolkit", 5),
    ("simulator", 5),
    ("operations", 4),
    ("hsm", 3),
    ("pkcs11", 3),
    ("token_access", 3),
    ("keystore", 3),
    ("fleet", 2),
    ("policy", 2),
    ("audit", 2),
    ("client", 2),
    ("toml_file", 2),
    ("xks", 1),
    ("sigv4", 1),
    ("ekm", 1),
    ("hsm_protocol", 2),
    ("connections", 1),
    ("private_file", 1),
    ("read_file", 1),
    ("secret", 0),
    ("clock", 0),
    ("hex", 0),
    ("iv", 0),
    ("json_line", 0),
    ("kms_certificate", 1),
    ("listen", 0),
    ("metrics", 0),
    ("partitions", 0),
    ("proxy_protocol", 0),
    ("sandbox", 0),
    ("similar", 0),
    ("build_info", 0),
    ("sync", 0),
    ("lib", 10),
];

/// Imports that the layers would allow but that are forbidden, with the reason.
const FORBIDDEN_IMPORTS: &[(&str, &str, &str)] = &[
    (
        "app",
        "pkcs11",
        "no PKCS#11 code runs in the front: it calls workers",
    ),
    (
        "server",
        "pkcs11",
        "no PKCS#11 code runs in the front: it calls workers",
    ),
    (
        "operations",
        "pkcs11",
        "no PKCS#11 code runs in the front: it calls workers",
    ),
    (
        "server",
        "hsm",
        "the network reaches the device only through operations",
    ),
    (
        "admin",
        "operations",
        "an unauthenticated port offers no operation",
    ),
    (
        "admin",
        "sigv4",
        "an unauthenticated port offers no operation",
    ),
    (
        "admin",
        "hsm",
        "an unauthenticated port offers no operation",
    ),
    (
        "toolkit",
        "hsm",
        "the tools use the network only, because they also test other proxies",
    ),
    (
        "simulator",
        "hsm",
        "AWS KMS uses a proxy over the wire only",
    ),
    (
        "simulator",
        "operations",
        "AWS KMS uses a proxy over the wire only",
    ),
    (
        "simulator",
        "keystore",
        "AWS KMS uses a proxy over the wire only",
    ),
    ("hsm", "xks", "the device layer has no AWS types"),
    ("pkcs11", "xks", "the device layer has no AWS types"),
];

/// Crates that only some modules may name, with the reason.
const CRATES: &[(&str, &[&str], &str)] = &[
    ("cryptoki", &["pkcs11"], "only one module uses PKCS#11"),
    ("cryptoki_sys", &["pkcs11"], "only one module uses PKCS#11"),
    (
        "toml",
        &["toml_file", "config"],
        "only the configuration module parses its file format",
    ),
    (
        "aws_lc_rs",
        &["sigv4", "server", "client", "simulator"],
        "credentials are made in one place, KMS's half of the double encryption in another; TLS has it through rustls",
    ),
    (
        "cedar_policy",
        &["policy"],
        "only one module uses the policy language",
    ),
    (
        "landlock",
        &["sandbox"],
        "processes restrict themselves in one place",
    ),
    (
        "seccompiler",
        &["sandbox"],
        "processes restrict themselves in one place",
    ),
    ("clap", &["cli"], "flags are parsed in one place"),
    (
        "hyper",
        &["server", "admin", "client", "simulator"],
        "only listeners and clients use HTTP",
    ),
    (
        "hyper_util",
        &["server", "admin", "client", "simulator"],
        "only listeners and clients use HTTP",
    ),
    (
        "rustls",
        &["server", "client", "toolkit"],
        "only listeners and clients use TLS; conformance needs its own settings",
    ),
    ("tower", &["server"], "only the server has a layer stack"),
    (
        "aws_sigv4",
        &["sigv4", "toolkit"],
        "one module verifies and makes signatures; conformance also makes wrong ones",
    ),
];

/// Crates that a module may not name, with the reason.
const FORBIDDEN_CRATES: &[(&str, &[&str], &str)] = &[
    (
        "xks",
        &["tokio", "hyper", "http"],
        "the vocabulary is testable as bytes",
    ),
    (
        "sigv4",
        &["serde_json", "tokio"],
        "authentication does not depend on the content of a request",
    ),
    (
        "operations",
        &["hyper", "http", "rustls"],
        "the operations do not use HTTP",
    ),
    (
        "config",
        &["tokio", "cryptoki"],
        "the configuration opens no sockets and calls no device",
    ),
];

fn layer(module: &str) -> u8 {
    let found = LAYERS.iter().find(|(name, _)| *name == module);
    found
        .unwrap_or_else(|| panic!("the module {module:?} has no layer: add it to LAYERS"))
        .1
}

/// Returns the modules directly below `src/` that a file names, without its own.
fn imported_modules(source: &Source) -> Vec<String> {
    let names = names(&source.tokens);
    let paths = names.paths.iter().chain(&names.globs);
    let modules = paths.filter_map(|path| absolute(&source.module_path(), path));
    let mut modules: Vec<_> = modules.filter_map(|path| path.into_iter().next()).collect();
    modules.retain(|module| *module != source.module);
    modules
}

/// Returns whether `tokens` name the crate: `name::…` or `use name`, but not `other::name::…`.
fn names_crate(tokens: &[String], name: &str) -> bool {
    let token = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", String::as_str);
    (0..tokens.len())
        .filter(|at| token(Some(*at)) == name)
        .any(|at| {
            let before = token(at.checked_sub(1));
            let outer = token(at.checked_sub(2));
            let is_first = before != "::" || outer == "use" || !is_name(outer);
            is_first && (token(Some(at + 1)) == "::" || before == "use")
        })
}

#[test]
fn modules_import_lower_layers_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        for imported in imported_modules(&source) {
            let import = format!("{} imports {imported}", source.path.display());
            for (module, never, reason) in FORBIDDEN_IMPORTS {
                if *module == source.module && *never == imported {
                    wrong.push(format!("{import}: {reason}"));
                }
            }
            if layer(&imported) >= layer(&source.module) {
                wrong.push(format!("{import}, which is not in a lower layer"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_stay_in_their_modules() {
    let mut wrong = Vec::new();
    for source in sources() {
        let module = source.module.as_str();
        let mut check = |is_forbidden: bool, name: &str, reason: &str| {
            if is_forbidden && names_crate(&source.tokens, name) {
                wrong.push(format!("{} names {name}: {reason}", source.path.display()));
            }
        };
        for (name, modules, reason) in CRATES {
            check(!modules.contains(&module), name, reason);
        }
        for (forbidden_in, names, reason) in FORBIDDEN_CRATES {
            for name in *names {
                check(*forbidden_in == module, name, reason);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_in_code_and_in_use() {
    let text = "use crate::xks::{Fault};\nuse crate::{ekm, clock::Deadline};\nlet x = super::super::hsm::Hsm;";
    let source = Source::new("server/admit.rs", text);
    assert_eq!(imported_modules(&source), ["xks", "ekm", "clock", "hsm"]);
}

#[test]
fn crates_are_recognized_by_the_first_segment_of_a_path() {
    let names = |text: &str| names_crate(&scan(text).tokens, "hyper");
    assert!(names("use hyper::body") && names("use hyper;") && names("use ::hyper::body"));
    assert!(
        !names("use super::hyper::x") && !names("use hyper_util::x") && !names("let hyper = 1")
    );
}
