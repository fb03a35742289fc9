//! The text of a configuration, for commands that print a changed part of it.
//!
//! # Invariants
//! - Attributes that a command does not change are printed unchanged, also those that this module does not know.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::toml_file::text::{bare_or_quoted, quoted};

/// The text of a configuration without errors. It may contain secrets, so it must not be shown as a whole.
pub struct Original(String);

/// The version that [`Original::rotated_key`] adds to a key.
#[derive(Clone, Copy, Debug)]
pub struct NewVersion<'a> {
    /// The number of the version.
    pub number: u32,
    /// The label of its key in the HSMs.
    pub label: &'a str,
    /// The number of the version that encrypts: the new one or an existing one.
    pub primary: u32,
}

/// The attributes that a rotation replaces: they select the keys in the HSMs.
const REPLACED: [&str; 4] = ["label", "cka_id", "primary", "versions"];

type Entry<'a> = (&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>);

impl Original {
    /// Wraps a text that was parsed without errors.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the `[[key_store.key]]` table of a key with one more version; `None` if the key does not exist.
    pub fn rotated_key(&self, store: &str, key: &str, new: NewVersion<'_>) -> Option<String> {
        let root = DeTable::parse(&self.0).ok()?;
        let store = named(root.get_ref(), "key_store", "name", store)?;
        let key = named(store, "key", "id", key)?;
        Some(with_version(key, new))
    }
}

/// Returns the table of an array in which `attribute` has this value.
fn named<'a>(
    parent: &'a DeTable<'a>,
    array: &str,
    attribute: &str,
    value: &str,
) -> Option<&'a DeTable<'a>> {
    let tables = parent.get(array)?.get_ref().as_array()?.iter();
    let mut tables = tables.filter_map(|table| table.get_ref().as_table());
    tables.find(|table| text(table, attribute) == Some(value))
}

fn text<'a>(table: &'a DeTable<'a>, attribute: &str) -> Option<&'a str> {
    table.get(attribute)?.get_ref().as_str()
}

fn with_version(key: &DeTable<'_>, new: NewVersion<'_>) -> String {
    let mut table = "[[key_store.key]]\n".to_owned();
    let kept = entries(key).into_iter();
    for (name, value) in kept.filter(|(name, _)| !REPLACED.contains(&name.get_ref().as_ref())) {
        table += &format!("{}\n", assignment(name, value));
    }
    table += &format!("primary = {}\nversions = [\n", new.primary);
    for version in versions(key) {
        table += &format!("  {version},\n");
    }
    let (number, label) = (new.number, quoted(new.label));
    table + &format!("  {{ version = {number}, label = {label} }},\n]\n")
}

/// Returns the versions of a key as inline tables. A key without `versions` has version 1, with the label or id of the key.
fn versions(key: &DeTable<'_>) -> Vec<String> {
    if let Some(versions) = key.get("versions").and_then(|v| v.get_ref().as_array()) {
        return versions.iter().map(|v| inline(v.get_ref())).collect();
    }
    let selector = match (text(key, "cka_id"), text(key, "label")) {
        (Some(id), _) => format!("cka_id = {}", quoted(id)),
        (None, label) => {
            let label = label.or_else(|| text(key, "id")).unwrap_or_default();
            format!("label = {}", quoted(label))
        }
    };
    vec![format!("{{ version = 1, {selector} }}")]
}

/// Returns the entries of a table in the order of the file.
fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn assignment(name: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> String {
    format!(
        "{} = {}",
        bare_or_quoted(name.get_ref()),
        inline(value.get_ref())
    )
}

/// Returns a value as one line of TOML.
fn inline(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::Array(values) => {
            let values: Vec<String> = values.iter().map(|v| inline(v.get_ref())).collect();
            format!("[{}]", values.join(", "))
        }
        DeValue::Table(table) => {
            let entries = entries(table).into_iter();
            let entries: Vec<String> = entries.map(|(name, v)| assignment(name, v)).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotated(keys: &str, primary: u32) -> String {
        let other = "[[key_store]]\nname = \"other\"\n[[key_store.key]]\nid = \"orders\"\n";
        let text = format!("{other}[[key_store]]\nname = \"payments\"\n{keys}");
        let new = NewVersion {
            number: 3,
            label: "orders-v3",
            primary,
        };
        let original = Original::new(text);
        assert_eq!(original.rotated_key("payments", "none", new), None);
        original.rotated_key("payments", "orders", new).unwrap()
    }

    /// Parses the table again, by attribute.
    fn parsed(table: &str) -> Vec<(String, String)> {
        let root = DeTable::parse(table).unwrap();
        let store = root.get_ref().get("key_store").unwrap().get_ref();
        let keys = store.as_table().unwrap().get("key").unwrap().get_ref();
        let key = keys.as_array().unwrap()[0].get_ref().as_table().unwrap();
        let entry =
            |(name, value): Entry<'_>| (name.get_ref().to_string(), inline(value.get_ref()));
        entries(key).into_iter().map(entry).collect()
    }

    #[test]
    fn every_other_attribute_is_kept_even_an_unknown_one() {
        let keys = r#"
[[key_store.key]]
id = "first"
[[key_store.key]]
# kept since 2024
"id" = 'orders'
state = "disabled"
label = "old"
danger_shared = true
not.known.yet = [1_000, 0xff, -1.5e3, 2026-01-01T00:00:00Z, { "a b" = "\u00e9\"" }]
[key_store.key.tags]
class = "secret"
"a \"b\"" = """two
lines"""
"#;
        let table = rotated(keys, 1);
        let expected = [
            ("id", "\"orders\""),
            ("state", "\"disabled\""),
            ("danger_shared", "true"),
            (
                "not",
                "{ known = { yet = [1000, 0xff, -1.5e3, 2026-01-01T00:00:00Z, { \"a b\" = \"é\\\"\" }] } }",
            ),
            (
                "tags",
                "{ class = \"secret\", \"a \\\"b\\\"\" = \"two\\u000Alines\" }",
            ),
            ("primary", "1"),
            (
                "versions",
                "[{ version = 1, label = \"old\" }, { version = 3, label = \"orders-v3\" }]",
            ),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parsed(&table), expected, "{table}");
    }

    #[test]
    fn existing_versions_are_kept_with_all_attributes() {
        let by_id = "[[key_store.key]]\nid = \"orders\"\ncka_id = \"0a\"\n";
        assert!(
            rotated(by_id, 1).contains("[\n  { version = 1, cka_id = \"0a\" },\n  { version = 3,")
        );
        let by_name = "[[key_store.key]]\nid = \"orders\"\n";
        assert!(rotated(by_name, 1).contains("{ version = 1, label = \"orders\" }"));
        let tables = "[[key_store.key]]\nid = \"orders\"\nprimary = 2\n[[key_store.key.versions]]\nversion = 1\nlabel = \"a\"\n\
                      state = \"new\"\n[[key_store.key.versions]]\nversion = 2\ncka_id = \"0b\"\n";
        let table = rotated(tables, 3);
        let versions = "primary = 3\nversions = [\n  { version = 1, label = \"a\", state = \"new\" },\n  { version = 2, cka_id = \"0b\" },\n";
        assert!(table.contains(versions), "{table}");
    }
}
