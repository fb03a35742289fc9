//! `config/README.md` documents exactly the keys that the configuration reads, with their defaults.

use std::collections::BTreeSet;

use super::{directory, parse};
use crate::config::server::certificate::Certificates;
use crate::config::{Changes, Configuration, tables};
use crate::toml_file::{Document, Section, Sources};

const README: &str = include_str!("../../../config/README.md");

/// A configuration with every table. Each table has only its required keys.
const TABLES: &str = r#"
[server]
listen = [{ address = "127.0.0.1:0" }]
[server.limits]
[server.tls]
certificate = "server.pem"
private_key = "server.key"
[server.tls.client_auth]
ca = "amazon-trust-services"
subjects = ["cks.kms.eu-west-1.amazonaws.com"]
[admin]
listen = [{ address = "127.0.0.1:0" }]
[log]
[health]
[failover]
[policy]
engine = "cedar"
path = "rules.cedar"
[audit]
path = "audit.jsonl"
[[hsm]]
name = "hsm-a"
module = "/usr/lib/softhsm/libsofthsm2.so"
token = { label = "xks" }
pin = { file = "pin" }
[[key_store]]
name = "payments"
path_prefix = "/payments"
region = "eu-west-1"
[[key_store.credential]]
access_key_id = "XKSPAYMENTSKEYAAAAAA"
secret = { file = "secret" }
[[key_store.key]]
id = "orders"
versions = [{ version = 1, label = "orders" }]
"#;

/// Tables that are empty in [`TABLES`], because they have required keys or need a feature.
const MORE_TABLES: &str = "\
[log.otlp]\nendpoint = \"http://127.0.0.1:4318\"\n[audit.checkpoint]\n[audit.rotate]\n[key_store.quota]\nrate = 1\n";

/// A row of a table of keys.
struct Row {
    /// Such as `key_store.key.id`.
    key: String,
    /// The column `type`.
    form: String,
    /// The column `default`.
    default: String,
}

/// Rows of the tables whose first two columns are `key` and `type`. Keys below `[[hsm]]` and `[[key_store]]` are relative to them.
fn rows() -> Vec<Row> {
    let (mut rows, mut prefix, mut is_reference) = (Vec::new(), "", false);
    for line in README.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            prefix = match title {
                _ if title.starts_with("`[[hsm]]`") => "hsm.",
                _ if title.starts_with("`[[key_store]]`") => "key_store.",
                _ => "",
            };
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        match cells.as_slice() {
            ["| key", "type", ..] => is_reference = true,
            [key, form, default, ..] if is_reference && key.starts_with("| `") => {
                let key = key.trim_start_matches("| ").trim_matches('`');
                rows.push(Row {
                    key: format!("{prefix}{key}"),
                    form: (*form).to_owned(),
                    default: (*default).to_owned(),
                });
            }
            _ if !line.starts_with('|') => is_reference = false,
            _ => {}
        }
    }
    rows
}

/// The names that an inline table in the code of a cell assigns, such as `rate` in `{ rate = 1800 }`.
fn nested_names(cell: &str) -> impl Iterator<Item = String> {
    let code = cell.split('`').skip(1).step_by(2);
    let tables = code.filter(|code| code.starts_with('{'));
    let words = tables.flat_map(|code| code.split(['{', ',']));
    words.filter_map(|part| Some(part.split_once('=')?.0.trim().to_owned()))
}

fn documented() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for row in rows() {
        let nested = [&row.form, &row.default].map(|cell| nested_names(cell).collect::<Vec<_>>());
        // Free names, which the configuration does not know.
        let is_free = ["hsm.environment", "key_store.key.tags"].contains(&row.key.as_str());
        if !is_free {
            keys.extend(
                nested
                    .concat()
                    .iter()
                    .map(|name| format!("{}.{name}", row.key)),
            );
        }
        keys.insert(row.key);
    }
    keys
}

/// All keys that the configuration reads, without the positions in lists.
fn read_keys() -> BTreeSet<String> {
    let directory = directory();
    let text = TABLES.replace(
        "[[hsm]]",
        &format!(
            "{}[[hsm]]",
            MORE_TABLES.replace("[key_store.quota]\nrate = 1\n", "")
        ),
    );
    let text = text.replace(
        "[[key_store.credential]]",
        "[key_store.quota]\nrate = 1\n[[key_store.credential]]",
    );
    let document = Document::parse(&text, directory.path(), Sources::default()).unwrap();
    tables::read(&Section::root(&document), &Certificates::default());
    let without_positions = |path: &String| {
        let parts = path.split('.').map(|part| part.split('[').next());
        parts.flatten().collect::<Vec<_>>().join(".")
    };
    document.read_keys().iter().map(without_positions).collect()
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let (documented, read) = (documented(), read_keys());
    assert!(documented.len() > 80, "{documented:#?}");
    let unknown: Vec<_> = documented.difference(&read).collect();
    assert!(unknown.is_empty(), "documented, but not read: {unknown:?}");
    let is_table = |key: &str| {
        documented
            .iter()
            .any(|known| known.starts_with(&format!("{key}.")))
    };
    // The forms of a secret have a separate table.
    let is_secret = |key: &str| {
        let parent = key.rsplit_once('.').map(|(parent, _)| parent);
        matches!(parent, Some("hsm.pin" | "key_store.credential.secret"))
    };
    let undocumented = read.difference(&documented);
    let undocumented: Vec<_> = undocumented
        .filter(|key| !is_table(key) && !is_secret(key))
        .collect();
    assert!(
        undocumented.is_empty(),
        "read, but not documented: {undocumented:?}"
    );
}

/// [`TABLES`] with this assignment in the table of `key`.
fn with(key: &str, value: &str) -> String {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let headers = [format!("[[{table}]]\n"), format!("[{table}]\n")];
    match headers.iter().find(|header| TABLES.contains(*header)) {
        _ if table.is_empty() => format!("{name} = {value}\n{TABLES}"),
        Some(header) => TABLES.replacen(header, &format!("{header}{name} = {value}\n"), 1),
        None => panic!("no table for {key}"),
    }
}

#[test]
fn documented_defaults_are_the_defaults() {
    let directory = directory();
    let rules = "permit(principal, action, resource);";
    std::fs::write(directory.path().join("rules.cedar"), rules).unwrap();
    let configured = |text: &str| -> Configuration {
        parse(text, directory.path())
            .unwrap_or_else(|errors| panic!("{errors}{text}"))
            .configuration
    };
    let defaults = configured(TABLES);
    let mut checked = 0;
    for row in rows() {
        let code = match row.default.as_str() {
            "these" => row.form.trim_matches('`'),
            default if default.starts_with('`') => default.split('`').nth(1).unwrap(),
            _ => continue,
        };
        // Not a value, but the name of another key.
        if code == "id" || row.key.starts_with("log.otlp") {
            continue;
        }
        let changes = Changes::between(&defaults, &configured(&with(&row.key, code)));
        assert!(changes.is_empty(), "{} = {code}: {changes:?}", row.key);
        checked += 1;
    }
    assert!(checked > 35, "only {checked} defaults");
    let changed = configured(&with("hsm.sessions", "17"));
    assert!(!Changes::between(&defaults, &changed).is_empty());
}
