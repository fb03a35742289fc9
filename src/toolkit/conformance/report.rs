//! Reports: a table for people, JSON and JUnit for machines, and the list of cases.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::case::{Case, CaseResult, Outcome, Severity};
use super::cases::UNTESTABLE;

/// Returns the outcome of a case as one word.
fn word(result: &CaseResult) -> &'static str {
    match (&result.outcome, result.severity) {
        (Outcome::Passed, _) => "pass",
        (Outcome::Failed(_), Severity::Must) => "FAIL",
        (Outcome::Failed(_), Severity::Should) => "warn",
        (Outcome::Skipped(_), _) => "skip",
    }
}

fn reason(result: &CaseResult) -> &str {
    match &result.outcome {
        Outcome::Passed => "",
        Outcome::Failed(text) | Outcome::Skipped(text) => text,
    }
}

/// Counts the cases per word.
fn counts<'a>(results: impl Iterator<Item = &'a CaseResult>) -> [usize; 4] {
    let mut counts = [0; 4];
    for result in results {
        let words = ["pass", "FAIL", "warn", "skip"];
        let found = words.iter().position(|w| *w == word(result));
        if let Some(count) = found.and_then(|at| counts.get_mut(at)) {
            *count += 1;
        }
    }
    counts
}

/// Renders a report for people: each case that did not pass, with its requests and responses, and the totals per section.
pub fn table(results: &[CaseResult]) -> String {
    let mut text = String::new();
    for result in results.iter().filter(|v| v.outcome != Outcome::Passed) {
        let CaseResult {
            id,
            section,
            severity,
            sent,
            expected,
            ..
        } = result;
        let (word, severity, reason) = (word(result), severity.as_str(), reason(result));
        text += &format!("{word}  §{section} {severity:<6} {id}: {reason}\n");
        if let Outcome::Failed(_) = result.outcome {
            text += &format!("      sent:     {sent}\n      expected: {expected}\n");
            for exchange in &result.exchanges {
                text += &format!("      > {}\n      < {}\n", exchange.sent, exchange.received);
            }
        }
    }
    text += "\nsection   pass  FAIL  warn  skip\n";
    let mut sections: Vec<&str> = results.iter().map(|v| v.section).collect();
    sections.sort_unstable();
    sections.dedup();
    for section in sections {
        let [pass, fail, warn, skip] = counts(results.iter().filter(|v| v.section == section));
        text += &format!("{section:<8} {pass:>5} {fail:>5} {warn:>5} {skip:>5}\n");
    }
    let [pass, fail, warn, skip] = counts(results.iter());
    text + &format!("{:<8} {pass:>5} {fail:>5} {warn:>5} {skip:>5}\n", "all")
}

/// Renders a report for scripts.
pub fn json(results: &[CaseResult]) -> Value {
    let [pass, fail, warn, skip] = counts(results.iter());
    let cases: Vec<Value> = results.iter().map(case).collect();
    json!({
        "passed": pass, "failed": fail, "warned": warn, "skipped": skip,
        "cases": cases,
        "untestable": untestable(),
    })
}

fn case(result: &CaseResult) -> Value {
    let exchange = |e: &super::Exchange| json!({ "sent": e.sent, "received": e.received });
    let exchanges: Vec<Value> = result.exchanges.iter().map(exchange).collect();
    json!({
        "id": result.id,
        "section": result.section,
        "severity": result.severity.as_str(),
        "sent": result.sent,
        "expected": result.expected,
        "outcome": word(result).to_lowercase(),
        "reason": reason(result),
        "milliseconds": result.took.as_millis() as u64,
        "exchanges": exchanges,
    })
}

fn untestable() -> Vec<Value> {
    let row = |u: &super::Untestable| json!({ "section": u.section, "requirement": u.requirement, "reason": u.reason });
    UNTESTABLE.iter().map(row).collect()
}

/// Renders JUnit XML for CI. A failed SHOULD is a passed test whose output is the message.
pub fn junit(results: &[CaseResult]) -> String {
    let [_, fail, _, skip] = counts(results.iter());
    let count = results.len();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"xks-conformance\" tests=\"{count}\" failures=\"{fail}\" skipped=\"{skip}\">\n"
    );
    for result in results {
        let (id, section) = (escaped(&result.id), result.section);
        let (seconds, reason) = (result.took.as_secs_f64(), escaped(reason(result)));
        let inner = match word(result) {
            "FAIL" => format!(
                "<failure message=\"{reason}\">{}</failure>",
                escaped(&details(result))
            ),
            "warn" => format!(
                "<system-out>{reason}\n{}</system-out>",
                escaped(&details(result))
            ),
            "skip" => format!("<skipped message=\"{reason}\"/>"),
            _ => String::new(),
        };
        xml += &format!(
            "<testcase classname=\"section-{section}\" name=\"{id}\" time=\"{seconds:.3}\">{inner}</testcase>\n"
        );
    }
    xml + "</testsuite>\n"
}

fn details(result: &CaseResult) -> String {
    let line = |e: &super::Exchange| format!("> {}\n< {}\n", e.sent, e.received);
    let lines: String = result.exchanges.iter().map(line).collect();
    format!(
        "sent: {}\nexpected: {}\n{lines}",
        result.sent, result.expected
    )
}

/// Escapes text for XML, which does not allow most control characters, even escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Renders the list of cases, their number per section, and the requirements that cannot be tested.
pub fn list(cases: &[Case]) -> String {
    let mut text = String::new();
    let mut sections: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for case in cases {
        let Case {
            id,
            section,
            severity,
            sent,
            expected,
            ..
        } = case;
        text += &format!(
            "§{section} {:<6} {id}: {sent} → {expected}\n",
            severity.as_str()
        );
        let [musts, shoulds] = sections.entry(section).or_default();
        match severity {
            Severity::Must => *musts += 1,
            Severity::Should => *shoulds += 1,
        }
    }
    text += "\nsection   MUST  SHOULD\n";
    for (section, [musts, shoulds]) in sections {
        text += &format!("{section:<8} {musts:>5} {shoulds:>7}\n");
    }
    text += "\nRequirements that no case can check:\n";
    for row in UNTESTABLE {
        text += &format!("§{} {}: {}\n", row.section, row.requirement, row.reason);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn result(severity: Severity, outcome: Outcome) -> CaseResult {
        CaseResult {
            id: "some-case".into(),
            section: "5",
            severity,
            sent: "x".into(),
            expected: "y".into(),
            outcome,
            exchanges: vec![super::super::Exchange {
                sent: "a<b".into(),
                received: "\u{1}".into(),
            }],
            took: Duration::from_millis(5),
        }
    }

    #[test]
    fn only_a_failed_must_fails() {
        let failed = || Outcome::Failed("no <tag>".into());
        let should = [
            result(Severity::Should, failed()),
            result(Severity::Must, Outcome::Skipped("s".into())),
        ];
        assert!(!super::super::failed(&should));
        let must = [result(Severity::Must, failed())];
        assert!(super::super::failed(&must));
        assert_eq!(json(&should)["warned"], 1);
        let xml = junit(&must);
        assert!(
            xml.contains("failures=\"1\"")
                && xml.contains("no &lt;tag&gt;")
                && !xml.contains('\u{1}')
        );
        assert!(table(&must).contains("FAIL  §5 MUST   some-case: no <tag>"));
    }
}
