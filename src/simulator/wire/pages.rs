//! Paginated lists: Limit, Marker, NextMarker, Truncated.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::simulator::wire;
use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// The prefix of a marker before it is encoded.
const FORM: &str = "after:";

/// The pagination parameters of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct Paging {
    limit: Option<i64>,
    marker: Option<String>,
}

impl Paging {
    /// Returns one page as a response with the items in the member `name`. The items must be sorted by their keys.
    pub(in crate::simulator) fn page<'a>(
        &self,
        name: &str,
        items: impl Iterator<Item = (&'a str, Value)>,
        default: usize,
        most: usize,
    ) -> Result<Value, Exception> {
        let limit = self.limit(default, most)?;
        let after = self.marker.as_deref().map(position).transpose()?;
        let is_later = |at: &str| after.as_deref().is_none_or(|after| at > after);
        let mut rest = items.filter(|(at, _)| is_later(at));
        let (mut page, mut last) = (Vec::new(), "");
        for (at, item) in rest.by_ref().take(limit) {
            last = at;
            page.push(item);
        }
        let is_truncated = rest.next().is_some();
        let mut answer = Map::new();
        answer.insert(name.to_owned(), Value::Array(page));
        answer.insert("Truncated".to_owned(), json!(is_truncated));
        if is_truncated {
            let marker = URL_SAFE_NO_PAD.encode(format!("{FORM}{last}"));
            answer.insert("NextMarker".to_owned(), json!(marker));
        }
        Ok(Value::Object(answer))
    }

    fn limit(&self, default: usize, most: usize) -> Result<usize, Exception> {
        let Some(limit) = self.limit else {
            return Ok(default);
        };
        let constraint = format!("Member must have value between 1 and {most}");
        let fits = usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=most).contains(limit));
        fits.ok_or_else(|| wire::invalid("limit", &constraint))
    }
}

fn position(marker: &str) -> Result<String, Exception> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let after = text.as_deref().and_then(|text| text.strip_prefix(FORM));
    let wrong = || ExceptionKind::InvalidMarker.with_message("The marker was not returned by KMS.");
    after.map(str::to_owned).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<i64>, marker: Option<String>) -> Result<Value, Exception> {
        let names = ["a", "b", "c", "d", "e"];
        let items = names.iter().map(|name| (*name, json!(name)));
        Paging { limit, marker }.page("Items", items, 50, 100)
    }

    #[test]
    fn markers_continue_a_list() {
        let (mut seen, mut marker) = (Vec::new(), None);
        for _ in 0..3 {
            let answer = page(Some(2), marker).unwrap();
            seen.extend(answer["Items"].as_array().unwrap().clone());
            marker = answer["NextMarker"].as_str().map(str::to_owned);
            assert_eq!(answer["Truncated"], marker.is_some());
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
        assert_eq!(marker, None);
        assert_eq!(page(Some(5), None).unwrap()["Truncated"], false);
    }

    #[test]
    fn invalid_limits_and_markers_are_rejected() {
        for limit in [0, -1, 101] {
            assert_eq!(
                page(Some(limit), None).unwrap_err().kind,
                ExceptionKind::Validation
            );
        }
        for marker in ["", "x", "YWJj", "%"] {
            let error = page(None, Some(marker.to_owned())).unwrap_err();
            assert_eq!(error.kind, ExceptionKind::InvalidMarker, "{marker}");
        }
    }
}
