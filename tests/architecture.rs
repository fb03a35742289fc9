//! The house rules, read off the sources: which room may import which, who may say what, and how a file begins.
//!
//! A room is a module directly under `src/`. It imports only rooms on lower floors. Test code (files named `tests.rs`,
//! `vectors.rs` or `fake.rs`, and what follows a `#[cfg(test)] mod tests`) may import what it likes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Every room with its floor.
const FLOORS: [(&str, u8); 26] = [
    ("main", 8),
    ("bin", 8),
    ("cli", 7),
    ("app", 6),
    ("config", 5),
    ("server", 4),
    ("admin", 4),
    ("inventory", 4),
    ("toolkit", 4),
    ("simulator", 4),
    ("operations", 3),
    ("hsm", 3),
    ("keystore", 2),
    ("policy", 2),
    ("audit", 2),
    ("client", 2),
    ("xks", 1),
    ("sigv4", 1),
    ("ekm", 1),
    ("connections", 1),
    ("secret", 0),
    ("clock", 0),
    ("json_line", 0),
    ("metrics", 0),
    ("build_info", 0),
    ("lib", 9),
];

/// Edges that the floors would allow but that are forbidden all the same, with the reason.
const FORBIDDEN_EDGES: [(&str, &str, &str); 9] = [
    (
        "server",
        "hsm",
        "the network reaches the device only through operations",
    ),
    (
        "admin",
        "operations",
        "an unauthenticated port has nothing worth asking",
    ),
    (
        "admin",
        "sigv4",
        "an unauthenticated port has nothing worth asking",
    ),
    (
        "admin",
        "hsm",
        "an unauthenticated port has nothing worth asking",
    ),
    (
        "toolkit",
        "hsm",
        "the tools know a proxy by its wire: they judge others' too",
    ),
    ("simulator", "hsm", "KMS knows a proxy by its wire"),
    ("simulator", "operations", "KMS knows a proxy by its wire"),
    ("simulator", "keystore", "KMS knows a proxy by its wire"),
    ("hsm", "xks", "a device does not know that AWS exists"),
];

/// Crates that only some rooms may name, with the reason.
const CRATES: [(&str, &[&str], &str); 11] = [
    ("cryptoki", &["hsm"], "PKCS#11 stays behind the seam"),
    ("cryptoki_sys", &["hsm"], "PKCS#11 stays behind the seam"),
    (
        "toml",
        &["config"],
        "only the configuration knows its file format",
    ),
    (
        "aws_lc_rs",
        &["sigv4", "server", "client", "simulator"],
        "credentials are made in one place, KMS's half of the double encryption in another; TLS has it through rustls",
    ),
    (
        "cedar_policy",
        &["policy"],
        "only one room knows the policy language",
    ),
    ("clap", &["cli"], "flags are parsed in one place"),
    (
        "hyper",
        &["server", "admin", "client", "simulator"],
        "HTTP stays with who listens and who calls",
    ),
    (
        "hyper_util",
        &["server", "admin", "client", "simulator"],
        "HTTP stays with who listens and who calls",
    ),
    (
        "rustls",
        &["server", "client"],
        "TLS stays with who listens and who calls",
    ),
    ("tower", &["server"], "layers stay on the network's floor"),
    (
        "aws_sigv4",
        &["sigv4", "client"],
        "signatures are judged in one place, and made in one",
    ),
];

/// Crates that a room may not name, with the reason.
const FORBIDDEN_CRATES: [(&str, &[&str], &str); 4] = [
    (
        "xks",
        &["tokio", "hyper", "http"],
        "the vocabulary is testable as bytes",
    ),
    (
        "sigv4",
        &["serde_json", "tokio"],
        "authentication does not depend on what is asked",
    ),
    (
        "operations",
        &["hyper", "http", "rustls"],
        "the operations know no HTTP",
    ),
    (
        "config",
        &["tokio", "cryptoki"],
        "the configuration opens no sockets and calls no device",
    ),
];

/// The only file with `unsafe`.
const UNSAFE_FILE: &str = "hsm/ffi.rs";

/// Files that are longer do two things.
const MAX_LINES: usize = 350;

struct Source {
    path: PathBuf,
    room: String,
    /// Without test code and comments.
    code: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

fn collect(root: &Path, directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let first = relative.iter().next().unwrap().to_str().unwrap();
            found.push(Source {
                room: first.trim_end_matches(".rs").to_owned(),
                code: code_of(&relative, &text),
                path: relative,
                text,
            });
        }
    }
}

fn code_of(path: &Path, text: &str) -> String {
    let name = path.file_name().unwrap();
    if name == "tests.rs" || name == "vectors.rs" || name == "fake.rs" {
        return String::new();
    }
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let code = text[..end]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

fn floor(room: &str) -> u8 {
    let found = FLOORS.iter().find(|(name, _)| *name == room);
    found
        .unwrap_or_else(|| panic!("the room {room:?} has no floor: give it one here"))
        .1
}

/// The rooms that `code` names as `crate::room`, also inside braces.
fn imported_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let preceded_by_a_name =
            code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if preceded_by_a_name {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = &list[..list.find("};").unwrap_or(list.len())];
                rooms.extend(list.split(',').map(|item| first_name(item.trim())));
            }
            None => rooms.push(first_name(rest)),
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

fn first_name(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn rooms_import_lower_floors_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        for imported in imported_rooms(&source.code) {
            let from = (source.room.as_str(), floor(&source.room));
            if imported != source.room && floor(&imported) >= from.1 {
                wrong.push(format!("{} imports {imported}", source.path.display()));
            }
            for (room, never, reason) in FORBIDDEN_EDGES {
                if room == from.0 && never == imported {
                    wrong.push(format!(
                        "{} imports {imported}: {reason}",
                        source.path.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, rooms, reason) in CRATES {
            if !rooms.contains(&source.room.as_str()) && names_crate(&source.code, name) {
                wrong.push(format!("{} names {name}: {reason}", source.path.display()));
            }
        }
        for (room, names, reason) in FORBIDDEN_CRATES {
            let named = names.iter().filter(|name| names_crate(&source.code, name));
            if source.room == room {
                wrong.extend(
                    named.map(|n| format!("{} names {n}: {reason}", source.path.display())),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_is_in_one_file() {
    for source in sources() {
        let is_ffi = source.path == Path::new(UNSAFE_FILE);
        let has_unsafe = source.code.contains("unsafe ") || source.code.contains("unsafe_code");
        assert_eq!(has_unsafe, is_ffi, "{}", source.path.display());
        if is_ffi {
            let blocks = source.code.matches("unsafe {").count();
            let notes = source.text.matches("// SAFETY:").count();
            assert_eq!(blocks, notes, "each unsafe block has its SAFETY note");
        }
    }
}

#[test]
fn secrets_are_exposed_in_few_places() {
    // Where a secret may be read: whoever adds a file here has thought about it.
    let rooms = [
        "secret",
        "sigv4",
        "hsm",
        "xks",
        "operations",
        "server",
        "ekm",
        // Compares plaintexts of its own making.
        "toolkit",
        // Signs.
        "client",
        // Encrypts, and keeps its state in a file of mode 0600.
        "simulator",
        // Writes them, into files of mode 0600 and nowhere else.
        "config",
    ];
    for source in sources() {
        if source.code.contains(".expose()") {
            assert!(
                rooms.contains(&source.room.as_str()),
                "{}",
                source.path.display()
            );
        }
    }
}

#[test]
fn files_say_what_they_promise_and_stay_short() {
    for source in sources() {
        let path = source.path.display();
        assert!(
            source.text.starts_with("//!"),
            "{path} does not open with //!"
        );
        let lines = source.text.lines().count();
        assert!(
            lines <= MAX_LINES || source.code.is_empty(),
            "{path} has {lines} lines"
        );
        assert!(
            !source.path.ends_with("mod.rs"),
            "{path}: a room is room.rs beside room/"
        );
    }
}

#[test]
fn lints_are_relaxed_by_expectation_only() {
    for source in sources() {
        assert!(
            !source.code.contains("#[allow("),
            "{}",
            source.path.display()
        );
        assert!(
            !source.code.contains("#![allow("),
            "{}",
            source.path.display()
        );
    }
}

#[test]
fn the_reader_of_imports_reads() {
    let code =
        "use crate::xks::{Fault};\nuse crate::{ekm, clock::Deadline};\nlet x = crate::hsm::Hsm;";
    assert_eq!(imported_rooms(code), ["xks", "ekm", "clock", "hsm"]);
    assert!(names_crate("use hyper::body", "hyper"));
    assert!(
        !names_crate("use super::hyper::x", "hyper") && !names_crate("use hyper_util::x", "hyper")
    );
}
