//! TagResource, UntagResource, ListResourceTags.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, locate_with};
use crate::simulator::callers::caller::Call;
use crate::simulator::crypto::context::Context;
use crate::simulator::policy::Details;
use crate::simulator::state::lookup::{Names, find, key_mut};
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::pages::Paging;
use crate::simulator::wire::{self, Tag, need};
use crate::simulator::world::World;

/// As many tags has a key at the most.
const MOST_TAGS: usize = 50;

/// The tags that a key has after these are added.
pub(in crate::simulator) fn tags_of(
    added: &[Tag],
    before: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Exception> {
    let wrong = |why: &str| Err(Kind::Tag.because(why));
    let (mut tags, mut seen) = (before.clone(), Vec::new());
    for Tag { tag_key, tag_value } in added {
        if !(1..=128).contains(&tag_key.chars().count()) || tag_value.chars().count() > 256 {
            return wrong("A tag key has 1 to 128 characters, a tag value at most 256.");
        }
        if tag_key.to_ascii_lowercase().starts_with("aws:") {
            return wrong("Tag keys that begin with aws: are AWS's own.");
        }
        if seen.contains(&tag_key) {
            return wrong("A tag key is there twice.");
        }
        seen.push(tag_key);
        tags.insert(tag_key.clone(), tag_value.clone());
    }
    match tags.len() <= MOST_TAGS {
        true => Ok(tags),
        false => Err(Kind::LimitExceeded.because(format!("A key has at most {MOST_TAGS} tags."))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagFields {
    key_id: Option<String>,
    tags: Option<Vec<Tag>>,
    tag_keys: Option<Vec<String>>,
}

/// TagResource.
pub(in crate::simulator) async fn tag(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: TagFields = wire::parse(body)?;
    let (id, tags) = (
        need(&request.key_id, "keyId")?,
        need(&request.tags, "tags")?,
    );
    let pair = |tag: &Tag| (tag.tag_key.clone(), tag.tag_value.clone());
    let requested = tags.iter().map(pair).collect();
    world
        .change(|state| {
            let details = Details {
                tags: Some(&requested),
                ..Details::default()
            };
            let at = locate_with(state, &call.caller, id, "TagResource", details)?;
            find(state, &call.caller, id, Names::Keys)?.check_not_pending()?;
            let key = key_mut(state, &at)?;
            key.tags = tags_of(tags, &key.tags)?;
            Ok(json!({}))
        })
        .await
}

/// UntagResource.
pub(in crate::simulator) async fn untag(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: TagFields = wire::parse(body)?;
    let (id, names) = (
        need(&request.key_id, "keyId")?,
        need(&request.tag_keys, "tagKeys")?,
    );
    world
        .change(|state| {
            let details = Details {
                tag_keys: names,
                ..Details::default()
            };
            let at = locate_with(state, &call.caller, id, "UntagResource", details)?;
            find(state, &call.caller, id, Names::Keys)?.check_not_pending()?;
            key_mut(state, &at)?
                .tags
                .retain(|name, _| !names.contains(name));
            Ok(json!({}))
        })
        .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    key_id: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// ListResourceTags.
pub(in crate::simulator) fn list(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: List = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    world.read(|state| {
        let found = find(state, &call.caller, id, Names::Keys)?;
        authorize(
            &found,
            &call.caller,
            "ListResourceTags",
            &Context::default(),
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
    fn tags_replace_and_have_rules() {
        let before = tags_of(&[tag("a", "1"), tag("b", "")], &BTreeMap::new()).unwrap();
        let after = tags_of(&[tag("a", "2")], &before).unwrap();
        assert_eq!((after.len(), after["a"].as_str()), (2, "2"));
        for bad in [
            vec![tag("", "")],
            vec![tag(&"k".repeat(129), "")],
            vec![tag("AWS:x", "")],
            vec![tag("a", ""), tag("a", "")],
        ] {
            assert_eq!(tags_of(&bad, &before).unwrap_err().kind, Kind::Tag);
        }
        let many: Vec<_> = (0..51).map(|n| tag(&n.to_string(), "")).collect();
        assert_eq!(
            tags_of(&many, &BTreeMap::new()).unwrap_err().kind,
            Kind::LimitExceeded
        );
    }
}
