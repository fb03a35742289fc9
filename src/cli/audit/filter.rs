//! Selects lines of an audit log.

use std::time::{Duration, SystemTime};

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::audit::Kind;
use crate::cli::output::exit::CommandError;
use crate::keystore::KeyStoreSettings;
use crate::similar::nearest;

/// The first bytes of every line of the schema that this version reads.
const BEGINNING: &[u8] = br#"{"v":1,"#;

/// All of these must be true of a line.
#[derive(Args, Default)]
pub(super) struct Filter {
    /// Only lines about this kmsRequestId.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only lines about this key, by its id.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only lines about a principal whose ARN contains this.
    #[arg(long, value_name = "TEXT")]
    principal: Option<String>,
    /// Only requests that ended so; may be repeated.
    #[arg(long)]
    outcome: Vec<Outcome>,
    /// Only lines about this key store.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Only lines with this kind; may be repeated.
    #[arg(long)]
    kind: Vec<Kind>,
    /// Only lines from then on: 2h (ago), 2026-11-24, or 2026-11-24T15:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Only lines from before then.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Outcome {
    Ok,
    Refused,
    Failed,
}

impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

/// The result of the filter for one line.
pub(super) enum Picked {
    /// The line matches.
    Wanted(Value),
    /// The line does not match.
    Unwanted,
    /// This is not an audit log line.
    Strange,
}

impl Picked {
    /// The line's members, if it is wanted.
    pub(super) fn wanted(self) -> Option<Value> {
        match self {
            Self::Wanted(line) => Some(line),
            Self::Unwanted | Self::Strange => None,
        }
    }
}

impl Filter {
    /// Returns a filter for the lines of this request.
    pub(super) fn of_request(id: &str) -> Self {
        Self {
            request_id: Some(id.to_owned()),
            kind: vec![Kind::Request],
            ..Self::default()
        }
    }

    /// Rejects a filter that no line can match.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let both = self.since.as_ref().zip(self.until.as_ref());
        let Some((since, until)) = both.filter(|(since, until)| until <= since) else {
            return Ok(());
        };
        let reason = format!("--until {until} is not later than --since {since}");
        Err(CommandError::usage(format!("no line can match: {reason}")))
    }

    /// Returns a message about a name that no key store has: it is misspelt, or was used earlier.
    pub(super) fn unknown_name(&self, stores: &[KeyStoreSettings]) -> Option<String> {
        let names: Vec<&str> = stores.iter().map(|store| store.name.as_str()).collect();
        let keys = stores.iter().flat_map(|store| &store.keys);
        let keys: Vec<&str> = keys.map(|key| key.id().as_str()).collect();
        let asked = [("key store", &self.store, names), ("key", &self.key, keys)];
        let mut unknown = asked.into_iter().filter_map(|(what, asked, known)| {
            let asked = asked.as_deref().filter(|asked| !known.contains(asked))?;
            let near = nearest(asked, known.iter().copied());
            let near = near.map(|near| format!("; did you mean {near:?}?"));
            let near = near.unwrap_or_default();
            Some(format!("the configuration has no {what} {asked:?}{near}"))
        });
        unknown.next()
    }

    /// Classifies an unparsed line.
    pub(super) fn pick(&self, line: &[u8]) -> Picked {
        let is_printable = line.iter().all(|byte| (0x20..0x7f).contains(byte));
        if !line.starts_with(BEGINNING) || !is_printable {
            return Picked::Strange;
        }
        if !self.may_be(line) {
            return Picked::Unwanted;
        }
        match serde_json::from_slice(line) {
            Ok(value) if self.wants(&value) => Picked::Wanted(value),
            Ok(_) => Picked::Unwanted,
            Err(_) => Picked::Strange,
        }
    }

    /// Returns whether the line may match and must be parsed: it contains an id without escapes unchanged.
    fn may_be(&self, line: &[u8]) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let plain = |id: &&String| !id.is_empty() && id.bytes().all(is_plain);
        let mut ids = [&self.request_id, &self.key].into_iter().flatten();
        ids.all(|id| !plain(&id) || contains(line, id.as_bytes()))
    }

    fn wants(&self, line: &Value) -> bool {
        let metadata = |name: &str| text(line.get("request_metadata").and_then(|m| m.get(name)));
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        let principal = metadata("awsPrincipalArn");
        let time = member(line, "time");
        is(&self.request_id, metadata("kmsRequestId"))
            && is(&self.key, member(line, "key_id"))
            && is(&self.store, member(line, "key_store"))
            && self
                .principal
                .as_ref()
                .is_none_or(|p| principal.contains(p.as_str()))
            && is_one_of(&self.outcome, member(line, "outcome"))
            && is_one_of(&self.kind, member(line, "kind"))
            && self.since.as_deref().is_none_or(|since| time >= since)
            && self.until.as_deref().is_none_or(|until| time < until)
    }
}

/// A member that is a text; empty when it is not there.
pub(super) fn member<'a>(line: &'a Value, name: &str) -> &'a str {
    text(line.get(name))
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn is_one_of<T: ValueEnum>(wanted: &[T], found: &str) -> bool {
    let is = |value: &T| {
        value
            .to_possible_value()
            .is_some_and(|v| v.get_name() == found)
    };
    wanted.is_empty() || wanted.iter().any(is)
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    // Bytes that are not valid UTF-8 cannot be printable ASCII.
    let [line, part] = [line, part].map(|bytes| std::str::from_utf8(bytes).unwrap_or_default());
    line.contains(part)
}

/// A time in the form of the lines, in which texts compare like times.
fn moment(text: &str) -> Result<String, String> {
    let form = "it must be a duration such as 2h, a date such as 2026-11-24, or a time such as 2026-11-24T15:00:00Z";
    let time = match humantime::parse_duration(text) {
        Ok(ago) => before(ago),
        Err(_) if text.len() == 10 => {
            humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")).ok()
        }
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let time = time.ok_or(form)?;
    Ok(humantime::format_rfc3339_micros(time).to_string())
}

fn before(ago: Duration) -> Option<SystemTime> {
    let time = SystemTime::now().checked_sub(ago)?;
    // Before the epoch there are no lines, and no form of the time.
    Some(time.max(SystemTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line() -> Value {
        json!({ "v": 1, "seq": 7, "time": "2026-11-24T15:42:06.000001Z", "kind": "request",
            "key_store": "payments", "key_id": "orders", "outcome": "refused",
            "request_metadata": { "kmsRequestId": "id \u{1f511}", "awsPrincipalArn": "arn:aws:iam::1:user/Alice" } })
    }

    fn wants(filter: &Filter) -> bool {
        filter.wants(&line())
    }

    #[test]
    fn every_condition_counts() {
        let some = |text: &str| Some(text.to_owned());
        type Change = fn(&mut Filter, Option<String>);
        let changes: [(Change, &str, &str); 7] = [
            (|f, v| f.request_id = v, "id \u{1f511}", "id"),
            (|f, v| f.key = v, "orders", "order"),
            (|f, v| f.store = v, "payments", "retail"),
            (|f, v| f.principal = v, "user/Ali", "Bob"),
            (
                |f, v| f.since = v,
                "2026-11-24T15:42:06.000001Z",
                "2026-11-24T15:42:06.000002Z",
            ),
            (
                |f, v| f.until = v,
                "2026-11-24T15:42:06.000002Z",
                "2026-11-24T15:42:06.000001Z",
            ),
            (
                |f, v| {
                    f.kind = if v.as_deref() == Some("r") {
                        vec![Kind::Request]
                    } else {
                        vec![Kind::Stop]
                    }
                },
                "r",
                "s",
            ),
        ];
        for (at, (change, yes, no)) in changes.into_iter().enumerate() {
            for (value, expected) in [(yes, true), (no, false)] {
                let mut filter = Filter::default();
                change(&mut filter, some(value));
                assert_eq!(wants(&filter), expected, "condition {at}, {value:?}");
            }
        }
        let outcome = |outcome| Filter {
            outcome: vec![outcome],
            ..Filter::default()
        };
        assert!(wants(&outcome(Outcome::Refused)) && !wants(&outcome(Outcome::Ok)));
    }

    #[test]
    fn an_invalid_line_is_distinguished_from_an_unwanted_line() {
        let filter = Filter {
            key: Some("orders".into()),
            ..Filter::default()
        };
        let picked = |line: &[u8]| match filter.pick(line) {
            Picked::Wanted(_) => "wanted",
            Picked::Unwanted => "unwanted",
            Picked::Strange => "strange",
        };
        assert_eq!(picked(br#"{"v":1,"key_id":"orders"}"#), "wanted");
        assert_eq!(picked(br#"{"v":1,"key_id":"x"}"#), "unwanted");
        assert_eq!(picked(br#"{"v":2,"key_id":"orders"}"#), "strange");
        assert_eq!(picked(br#"{"v":1,"key_id":"orders""#), "strange");
        assert_eq!(picked(b"{\"v\":1,\"key_id\":\"orders\x1b\"}"), "strange");
        assert_eq!(
            picked("{\"v\":1,\"key_id\":\"orders\u{202e}\"}".as_bytes()),
            "strange"
        );
    }

    #[test]
    fn times_are_said_in_three_ways() {
        let same = "2026-11-24T00:00:00.000000Z";
        for text in ["2026-11-24", "2026-11-24T00:00:00Z", "2026-11-24 00:00:00"] {
            assert_eq!(moment(text).as_deref(), Ok(same), "{text}");
        }
        assert!(moment("2h").is_ok_and(|time| time.as_str() > "2024"));
        assert!(moment("1000000y").is_ok());
        assert!(moment("yesterday").is_err() && moment("").is_err());
    }
}
