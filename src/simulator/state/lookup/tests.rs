//! Names of keys, and who may use what they name.

use std::collections::BTreeMap;

use super::*;
use crate::simulator::api::authorize::authorize;
use crate::simulator::callers::principals::Facts;
use crate::simulator::crypto::context::Context;
use crate::simulator::policy::default_policy;
use crate::simulator::state::Alias;

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";
const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const EVE: &str = "arn:aws:iam::444455556666:user/eve";

fn state(policy: &str) -> State {
    let mut state = State::default();
    let key = Key {
        id: ID.to_owned(),
        created: 0.0,
        description: String::new(),
        state: KeyState::Enabled,
        store: "cks-1".to_owned(),
        xks_key_id: "orders".to_owned(),
        policy: policy.to_owned().into(),
        tags: BTreeMap::new(),
        grants: BTreeMap::new(),
        material: Material::generate().unwrap(),
    };
    let place = state.place_mut(ACCOUNT, REGION);
    place.keys.insert(ID.to_owned(), key);
    let alias = Alias {
        key: ID.to_owned(),
        created: 0.0,
        updated: 0.0,
    };
    place.aliases.insert("alias/a".to_owned(), alias);
    state
}

fn caller(account: &str, region: &str, principal: Option<&str>) -> Caller {
    Caller {
        account: account.to_owned(),
        region: region.to_owned(),
        principal: principal
            .unwrap_or("arn:aws:iam::111122223333:root")
            .to_owned(),
        is_named: principal.is_some(),
        facts: Facts::default(),
    }
}

fn found(text: &str, names: Names) -> Result<String, Kind> {
    let (state, caller) = (state(""), caller(ACCOUNT, REGION, None));
    let found = find(&state, &caller, text, names);
    found.map(|found| found.arn()).map_err(|error| error.kind)
}

#[test]
fn a_key_has_many_names() {
    let arn = key_arn(ACCOUNT, REGION, ID);
    let alias = alias_arn(ACCOUNT, REGION, "alias/a");
    for name in [ID, &arn] {
        assert_eq!(found(name, Names::Keys).as_ref(), Ok(&arn), "{name}");
    }
    for name in [ID, &arn, "alias/a", &alias] {
        assert_eq!(
            found(name, Names::KeysAndAliases).as_ref(),
            Ok(&arn),
            "{name}"
        );
    }
    for name in ["alias/a", &alias] {
        assert_eq!(found(name, Names::Keys), Err(Kind::InvalidArn), "{name}");
    }
}

#[test]
fn what_names_nothing() {
    let arn = key_arn(ACCOUNT, REGION, ID);
    let long = "k".repeat(2049);
    for (name, kind) in [
        ("", Kind::Validation),
        (long.as_str(), Kind::Validation),
        ("orders", Kind::NotFound),
        ("alias/b", Kind::NotFound),
        ("arn:aws:kms:eu-west-1:111122223333:thing/x", Kind::NotFound),
        ("arn:aws:iam::111122223333:user/alice", Kind::NotFound),
        ("arn:", Kind::NotFound),
        (&arn.replacen("aws", "aws-cn", 1), Kind::NotFound),
        (&arn.replace(REGION, "us-east-1"), Kind::NotFound),
        (&arn.replace(ACCOUNT, "444455556666"), Kind::NotFound),
    ] {
        assert_eq!(found(name, Names::KeysAndAliases), Err(kind), "{name}");
    }
    assert_eq!(found("arn:", Names::Keys), Err(Kind::InvalidArn));
}

fn allowed(policy: &str, who: &Caller) -> Result<(), Kind> {
    let (state, arn) = (state(policy), key_arn(ACCOUNT, REGION, ID));
    let found = find(&state, who, &arn, Names::Keys).unwrap();
    let allowed = authorize(&found, who, "Encrypt", &Context::default());
    allowed.map_err(|error| error.kind)
}

#[test]
fn policies_are_for_callers_who_are_known() {
    let own = default_policy(ACCOUNT);
    let alice = caller(ACCOUNT, REGION, Some(ALICE));
    let eve = caller("444455556666", REGION, Some(EVE));
    assert_eq!(allowed(&own, &alice), Ok(()));
    assert_eq!(allowed(&own, &eve), Err(Kind::AccessDenied));
    assert_eq!(allowed(&default_policy("444455556666"), &eve), Ok(()));
    assert_eq!(allowed("nonsense", &alice), Err(Kind::AccessDenied));
    assert_eq!(allowed("nonsense", &caller(ACCOUNT, REGION, None)), Ok(()));
    let stranger = caller("444455556666", REGION, None);
    let stranger = Caller {
        principal: "arn:aws:iam::444455556666:root".to_owned(),
        ..stranger
    };
    assert_eq!(
        allowed(&own, &stranger),
        Err(Kind::AccessDenied),
        "of another account"
    );
}

#[test]
fn a_key_is_usable_when_all_is_well() {
    let here = caller(ACCOUNT, REGION, None);
    let refused = |key: KeyState| {
        let mut state = state("");
        key_mut(
            &mut state,
            &Where {
                account: ACCOUNT.into(),
                region: REGION.into(),
                id: ID.into(),
            },
        )
        .unwrap()
        .state = key;
        let found = find(&state, &here, ID, Names::Keys).unwrap();
        found
            .usable()
            .err()
            .map(|error| (error.kind, error.message))
    };
    assert_eq!(refused(KeyState::Disabled).unwrap().0, Kind::Disabled);
    let (kind, message) = refused(KeyState::PendingDeletion(9.0)).unwrap();
    assert!(kind == Kind::KmsInvalidState && message.contains("pending deletion"));
    let (kind, message) = refused(KeyState::Enabled).unwrap();
    assert!(
        kind == Kind::KmsInvalidState && message.contains("not connected"),
        "there is no such store"
    );
}

#[test]
fn what_is_deleted_takes_its_aliases_along() {
    let mut state = state("");
    assert!(!state.forget_deleted(10.0));
    let at = Where {
        account: ACCOUNT.into(),
        region: REGION.into(),
        id: ID.into(),
    };
    key_mut(&mut state, &at).unwrap().state = KeyState::PendingDeletion(9.0);
    assert!(!state.forget_deleted(8.0) && state.forget_deleted(9.0));
    let place = state.place(ACCOUNT, REGION).unwrap();
    assert!(place.keys.is_empty() && place.aliases.is_empty());
}
