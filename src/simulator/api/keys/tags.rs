//! TagResource, UntagResource, ListResourceTags.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, locate_with};
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::crypto::context::EncryptionContext;
use crate::simulator::kms::Kms;
use crate::simulator::policy::RequestDetails;
use crate::simulator::state::lookup::{AcceptedIds, find, key_mut};
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::pages::Paging;
use crate::simulator::wire::{self, Tag, need};

/// The maximum number of tags of a key.
const MOST_TAGS: usize = 50;

/// Returns the tags of a key after `added` was added to `before`.
pub(in crate::simulator) fn merged_tags(
    added: &[Tag],
    before: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Exception> {
    let wrong = |reason: &str| Err(ExceptionKind::Tag.with_message(reason));
    let (mut tags, mut seen) = (before.clone(), Vec::new());
    for Tag { tag_key, tag_value } in added {
        if !(1..=128).contains(&tag_key.chars().count()) || tag_value.chars().count() > 256 {
            return wrong("A tag key has 1 to 128 characters, a tag value at most 256.");
        }
        if tag_key.to_ascii_lowercase().starts_with("aws:") {
            return wrong("Tag keys that begin with aws: are reserved for AWS.");
        }
        if seen.contains(&tag_key) {
            return wrong("A tag key occurs twice.");
        }
        seen.push(tag_key);
        tags.insert(tag_key.clone(), tag_value.clone());
    }
    match tags.len() <= MOST_TAGS {
        true => Ok(tags),
        false => Err(ExceptionKind::LimitExceeded
            .with_message(format!("A key has at most {MOST_TAGS} tags."))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagRequest {
    key_id: Option<String>,
    tags: Option<Vec<Tag>>,
    tag_keys: Option<Vec<String>>,
}

/// TagResource.
pub(in crate::simulator) async fn tag(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: TagRequest = wire::parse(body)?;
    let (id, tags) = (
        need(&request.key_id, "keyId")?,
        need(&request.tags, "tags")?,
    );
    let pair = |tag: &Tag| (tag.tag_key.clone(), tag.tag_value.clone());
    let requested = tags.iter().map(pair).collect();
    kms.change(|state| {
        let details = RequestDetails {
            tags: Some(&requested),
            ..RequestDetails::default()
        };
        let at = locate_with(state, &call.caller, id, "TagResource", details)?;
        find(state, &call.caller, id, AcceptedIds::Keys)?.check_not_pending()?;
        let key = key_mut(state, &at)?;
        key.tags = merged_tags(tags, &key.tags)?;
        Ok(json!({}))
    })
    .await
}

/// UntagResource.
pub(in crate::simulator) async fn untag(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: TagRequest = wire::parse(body)?;
    let (id, accepted) = (
        need(&request.key_id, "keyId")?,
        need(&request.tag_keys, "tagKeys")?,
    );
    kms.change(|state| {
        let details = RequestDetails {
            tag_keys: accepted,
            ..RequestDetails::default()
        };
        let at = locate_with(state, &call.caller, id, "UntagResource", details)?;
        find(state, &call.caller, id, AcceptedIds::Keys)?.check_not_pending()?;
        key_mut(state, &at)?
            .tags
            .retain(|name, _| !accepted.contains(name));
        Ok(json!({}))
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListTagsRequest {
    key_id: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// ListResourceTags.
pub(in crate::simulator) fn list(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: ListTagsRequest = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    kms.read(|state| {
        let found = find(state, &call.caller, id, AcceptedIds::Keys)?;
        authorize(
            &found,
            &call.caller,
            "ListResourceTags",
            &EncryptionContext::default(),
        )?;
        let tags = found.key.tags.iter();
        let items =
            tags.map(|(key, value)| (key.as_str(), json!({ "TagKey": key, "TagValue": value })));
        request.paging.page("Tags", items, 50, 50)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag {
            tag_key: key.into(),
            tag_value: value.into(),
        }
    }

    #[test]
    fn tags_are_replaced_and_checked() {
        let before = merged_tags(&[tag("a", "1"), tag("b", "")], &BTreeMap::new()).unwrap();
        let after = merged_tags(&[tag("a", "2")], &before).unwrap();
        assert_eq!((after.len(), after["a"].as_str()), (2, "2"));
        for bad in [
            vec![tag("", "")],
            vec![tag(&"k".repeat(129), "")],
            vec![tag("AWS:x", "")],
            vec![tag("a", ""), tag("a", "")],
        ] {
            assert_eq!(
                merged_tags(&bad, &before).unwrap_err().kind,
                ExceptionKind::Tag
            );
        }
        let too_many: Vec<_> = (0..51).map(|n| tag(&n.to_string(), "")).collect();
        assert_eq!(
            merged_tags(&too_many, &BTreeMap::new()).unwrap_err().kind,
            ExceptionKind::LimitExceeded
        );
    }
}
