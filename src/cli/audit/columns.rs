//! The columns of an audit log line in human-readable output.

use serde_json::Value;

use super::filter::member;
use crate::cli::output::terminal::safe;

/// Name and width of each column; the last is as wide as it is.
const COLUMNS: [(&str, usize); 9] = [
    ("TIME (UTC)", 23),
    ("SEQ", 8),
    ("STORE", 12),
    ("OPERATION", 12),
    ("KEY", 20),
    ("OUTCOME", 28),
    ("HSM", 8),
    ("DURATION", 9),
    ("PRINCIPAL AND REASON", 0),
];

/// The line above the columns.
pub(super) fn head() -> String {
    in_columns(COLUMNS.map(|(name, _)| name.to_owned()))
}

/// A line of whatever kind.
pub(super) fn row(line: &Value) -> String {
    let text = |name: &str| safe(member(line, name));
    // Six decimals are for the machine.
    let time = text("time").chars().take(23).collect::<String>();
    let seq = line.get("seq").map(ToString::to_string).unwrap_or_default();
    in_columns([
        time.replace('T', " "),
        seq,
        or_dash(text("key_store")),
        subject(line),
        or_dash(text("key_id")),
        outcome(line),
        or_dash(text("hsm")),
        or_dash(duration(line)),
        principal_and_reason(line),
    ])
}

/// Returns the operation, the event or the kind.
fn subject(line: &Value) -> String {
    let names = ["operation", "event", "kind"].map(|name| member(line, name));
    let name = names.into_iter().find(|name| !name.is_empty());
    safe(name.unwrap_or("-"))
}

fn outcome(line: &Value) -> String {
    let parts = ["outcome", "error_name", "state", "cause"].map(|name| member(line, name));
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        // A request that was not served is best told by its error's name.
        [_, error] => safe(error),
        parts => or_dash(safe(&parts.join(" "))),
    }
}

fn duration(line: &Value) -> String {
    let micros = line.get("duration_us").and_then(Value::as_u64);
    micros.map_or_else(String::new, |micros| {
        format!("{}.{:01} ms", micros / 1000, micros % 1000 / 100)
    })
}

/// Returns the principal of a request or the source of an event, and the reason.
fn principal_and_reason(line: &Value) -> String {
    let metadata = line.get("request_metadata");
    let principal = metadata.and_then(|metadata| metadata.get("awsPrincipalArn"));
    let principal = principal.and_then(Value::as_str).unwrap_or_default();
    let source = match principal {
        "" => member(line, "peer"),
        principal => principal,
    };
    let why = ["reason", "unsealed", "error"].map(|name| member(line, name));
    let why = why
        .into_iter()
        .find(|why| !why.is_empty())
        .unwrap_or_default();
    match (source, why) {
        (source, "") => or_dash(safe(source)),
        ("", why) => format!("({})", safe(why)),
        (source, why) => format!("{} ({})", safe(source), safe(why)),
    }
}

fn or_dash(text: String) -> String {
    match text.is_empty() {
        true => "-".to_owned(),
        false => text,
    }
}

fn in_columns(cells: [String; COLUMNS.len()]) -> String {
    let cells = cells.into_iter().zip(COLUMNS);
    let line: String = cells
        .map(|(cell, (_, width))| format!("{cell:width$} "))
        .collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_denied_request_says_principal_and_reason() {
        let line = json!({ "v": 1, "seq": 7, "time": "2026-11-24T15:42:06.123456Z", "kind": "request", "key_store": "payments",
            "operation": "decrypt", "key_id": "orders", "outcome": "refused", "error_name": "AccessDeniedException",
            "reason": "policy: forbidden by x", "duration_us": 1_250,
            "request_metadata": { "awsPrincipalArn": "arn:\u{1b}[31m\nx" } });
        let row = row(&line);
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            cells[..6],
            [
                "2026-11-24",
                "15:42:06.123",
                "7",
                "payments",
                "decrypt",
                "orders"
            ]
        );
        assert_eq!(cells[6..9], ["AccessDeniedException", "-", "1.2"]);
        assert!(
            row.ends_with("ms    arn:\\u{1b}[31m\\nx (policy: forbidden by x)"),
            "{row}"
        );
        assert_eq!(head().find("OUTCOME"), row.find("AccessDenied"));
    }

    #[test]
    fn other_lines_have_columns_too() {
        let event = json!({ "seq": 1, "time": "t", "kind": "security", "event": "hsm_state", "hsm": "hsm-a", "state": "open", "reason": "was opening" });
        let row = row(&event);
        assert!(
            row.contains("hsm_state") && row.contains(" open ") && row.ends_with("(was opening)"),
            "{row}"
        );
        let checkpoint = json!({ "seq": 1, "time": "t", "kind": "checkpoint", "unsealed": "down" });
        assert!(super::row(&checkpoint).ends_with("(down)"));
        assert!(super::row(&json!([])).contains('-'));
    }
}
