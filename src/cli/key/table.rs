//! Key versions as columns.

use crate::inventory::{HeldKey, Holding, SameKey, VersionReport};

const HEAD: [&str; 11] = [
    "STORE",
    "KEY",
    "VERSION",
    "STATE",
    "NAME IN THE HSM",
    "HSM",
    "KIND",
    "USAGE",
    "PROTECTION",
    "KMS",
    "ENCRYPTIONS",
];

type Row = Vec<String>;

/// One line per version and HSM; where there are several HSMs, also whether they have one key.
pub(super) fn of_versions(versions: &[VersionReport]) -> String {
    let compared = versions.iter().any(|version| version.hsms.len() > 1);
    let mut head: Row = HEAD.map(str::to_owned).into();
    if compared {
        head.push("SAME KEY".to_owned());
    }
    let mut rows = vec![head];
    for version in versions {
        for holding in &version.hsms {
            rows.push(row(version, holding, compared));
        }
    }
    in_columns(&rows)
}

fn row(version: &VersionReport, holding: &Holding, compared: bool) -> Row {
    let role = if version.is_primary { " primary" } else { "" };
    let state = if version.is_enabled {
        "enabled"
    } else {
        "disabled"
    };
    let encryptions = version.encryptions.map(|count| count.to_string());
    let mut row = vec![
        version.store.clone(),
        version.key.clone(),
        format!("{}{role}", version.version),
        state.to_owned(),
        version.selector.clone(),
        holding.hsm.clone(),
    ];
    row.extend(attributes(holding));
    row.push(acceptance(version, holding));
    row.push(encryptions.unwrap_or_else(|| "-".to_owned()));
    if compared {
        row.push(sameness(&version.same_key).to_owned());
    }
    row
}

/// Returns kind, usage and protection, or the reason why they are not known.
fn attributes(holding: &Holding) -> [String; 3] {
    let none = |why: &str| [why.to_owned(), "-".to_owned(), "-".to_owned()];
    match (&holding.key, holding.found) {
        (Some(key), _) => [key.kind.clone(), key.usage.join("+"), protection(key)],
        (None, None) => none("unknown"),
        (None, Some(0)) => none("MISSING"),
        (None, Some(n)) => none(&format!("AMBIGUOUS ({n})")),
    }
}

/// How well a key's value is kept, in words.
pub(super) fn protection(key: &HeldKey) -> String {
    let sensitive = match key.sensitive {
        Some(true) => "sensitive",
        Some(false) => "NOT SENSITIVE",
        None => "sensitive?",
    };
    let extractable = match (key.extractable, key.never_extractable) {
        (Some(false), Some(false)) => "no longer extractable",
        (Some(false), _) => "not extractable",
        (Some(true), _) => "EXTRACTABLE",
        (None, _) => "extractable?",
    };
    format!("{sensitive}, {extractable}")
}

fn acceptance(version: &VersionReport, holding: &Holding) -> String {
    // A different HSM has the key, so the result for the HSM that lacks it is not known.
    if holding.key.is_none() && version.hsms.iter().any(|other| other.key.is_some()) {
        return "-".to_owned();
    }
    match (version.is_primary, version.objections.is_empty()) {
        (true, true) => "accepts".to_owned(),
        (false, true) => "decrypts".to_owned(),
        (true, false) => format!("rejects: {}", version.objections.join("; ")),
        (false, false) => format!("unusable: {}", version.objections.join("; ")),
    }
}

fn sameness(same_key: &SameKey) -> &'static str {
    match same_key {
        SameKey::NotCompared => "-",
        SameKey::Same => "yes",
        SameKey::Different => "NO",
        SameKey::Unproved(_) => "unproved",
    }
}

/// Columns as wide as their widest cell, two spaces apart; nothing behind the last.
fn in_columns(rows: &[Row]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> HeldKey {
        HeldKey {
            label: Some("orders".into()),
            cka_id: "0a".into(),
            kind: "AES-256".into(),
            usage: vec!["ENCRYPT", "DECRYPT"],
            sensitive: Some(true),
            extractable: Some(false),
            always_sensitive: Some(true),
            never_extractable: Some(true),
            local: Some(true),
        }
    }

    #[test]
    fn a_line_per_hsm_in_columns() {
        let hsms = [("hsm-a", Some(1), Some(key())), ("b", Some(0), None)];
        let holding = |(hsm, found, key): (&str, _, _)| Holding {
            hsm: hsm.into(),
            found,
            key,
        };
        let version = VersionReport {
            store: "payments".into(),
            key: "orders".into(),
            version: 1,
            is_primary: true,
            is_enabled: true,
            selector: "label \"orders\"".into(),
            hsms: hsms.map(holding).into(),
            same_key: SameKey::NotCompared,
            objections: Vec::new(),
            faults: Vec::new(),
            remarks: Vec::new(),
            encryptions: Some(7),
        };
        let text = of_versions(&[version]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with("ENCRYPTIONS  SAME KEY"), "{text}");
        assert!(
            lines[1].contains("1 primary  enabled  label \"orders\"  "),
            "{text}"
        );
        assert!(
            lines[1].contains("sensitive, not extractable  accepts  7"),
            "{text}"
        );
        assert_eq!(lines[1].find("hsm-a"), lines[2].find("b  "), "{text}");
        assert!(lines[2].contains("MISSING"), "{text}");
    }

    #[test]
    fn weak_protection_is_in_capitals() {
        let weak = HeldKey {
            sensitive: Some(false),
            extractable: Some(true),
            ..key()
        };
        assert_eq!(protection(&weak), "NOT SENSITIVE, EXTRACTABLE");
        let late = HeldKey {
            never_extractable: Some(false),
            ..key()
        };
        assert_eq!(protection(&late), "sensitive, no longer extractable");
    }
}
