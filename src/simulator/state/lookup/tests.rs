//! The forms of KeyId, the effect of key policies, and the usability of keys.

use std::collections::BTreeMap;

use super::*;
use crate::simulator::api::authorize::authorize;
use crate::simulator::callers::principals::CallerProperties;
use crate::simulator::crypto::context::EncryptionContext;
use crate::simulator::policy::default_policy;
use crate::simulator::state::Alias;

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";
const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const EVE: &str = "arn:aws:iam::444455556666:user/eve";

fn state(policy: &str) -> KmsState {
    let mut state = KmsState::default();
    let key = KmsKey {
        id: ID.to_owned(),
        created: 0.0,
        description: String::new(),
        state: KmsKeyState::Enabled,
        store: "cks-1".to_owned(),
        xks_key_id: "orders".to_owned(),
        policy: policy.to_owned().into(),
        tags: BTreeMap::new(),
        grants: BTreeMap::new(),
        material: KeyMaterial::generate().unwrap(),
    };
    let region_state = state.region_state_or_new(ACCOUNT, REGION);
    region_state.keys.insert(ID.to_owned(), key);
    let alias = Alias {
        key: ID.to_owned(),
        created: 0.0,
        updated: 0.0,
    };
    region_state.aliases.insert("alias/a".to_owned(), alias);
    state
}

fn caller(account: &str, region: &str, principal: Option<&str>) -> KmsCaller {
    KmsCaller {
        account: account.to_owned(),
        region: region.to_owned(),
        principal: principal
            .unwrap_or("arn:aws:iam::111122223333:root")
            .to_owned(),
        is_authenticated: principal.is_some(),
        properties: CallerProperties::default(),
    }
}

fn found(text: &str, accepted: AcceptedIds) -> Result<String, ExceptionKind> {
    let (state, caller) = (state(""), caller(ACCOUNT, REGION, None));
    let found = find(&state, &caller, text, accepted);
    found.map(|found| found.arn()).map_err(|error| error.kind)
}

#[test]
fn every_form_of_key_id_is_found() {
    let arn = key_arn(ACCOUNT, REGION, ID);
    let alias = alias_arn(ACCOUNT, REGION, "alias/a");
    for name in [ID, &arn] {
        assert_eq!(found(name, AcceptedIds::Keys).as_ref(), Ok(&arn), "{name}");
    }
    for name in [ID, &arn, "alias/a", &alias] {
        assert_eq!(
            found(name, AcceptedIds::KeysAndAliases).as_ref(),
            Ok(&arn),
            "{name}"
        );
    }
    for name in ["alias/a", &alias] {
        assert_eq!(
            found(name, AcceptedIds::Keys),
            Err(ExceptionKind::InvalidArn),
            "{name}"
        );
    }
}

#[test]
fn unknown_key_ids_are_rejected() {
    let arn = key_arn(ACCOUNT, REGION, ID);
    let long = "k".repeat(2049);
    for (name, kind) in [
        ("", ExceptionKind::Validation),
        (long.as_str(), ExceptionKind::Validation),
        ("orders", ExceptionKind::NotFound),
        ("alias/b", ExceptionKind::NotFound),
        (
            "arn:aws:kms:eu-west-1:111122223333:thing/x",
            ExceptionKind::NotFound,
        ),
        (
            "arn:aws:iam::111122223333:user/alice",
            ExceptionKind::NotFound,
        ),
        ("arn:", ExceptionKind::NotFound),
        (&arn.replacen("aws", "aws-cn", 1), ExceptionKind::NotFound),
        (&arn.replace(REGION, "us-east-1"), ExceptionKind::NotFound),
        (
            &arn.replace(ACCOUNT, "444455556666"),
            ExceptionKind::NotFound,
        ),
    ] {
        assert_eq!(
            found(name, AcceptedIds::KeysAndAliases),
            Err(kind),
            "{name}"
        );
    }
    assert_eq!(
        found("arn:", AcceptedIds::Keys),
        Err(ExceptionKind::InvalidArn)
    );
}

fn allowed(policy: &str, caller: &KmsCaller) -> Result<(), ExceptionKind> {
    let (state, arn) = (state(policy), key_arn(ACCOUNT, REGION, ID));
    let found = find(&state, caller, &arn, AcceptedIds::Keys).unwrap();
    let allowed = authorize(&found, caller, "Encrypt", &EncryptionContext::default());
    allowed.map_err(|error| error.kind)
}

#[test]
fn policies_apply_to_authenticated_callers() {
    let own = default_policy(ACCOUNT);
    let alice = caller(ACCOUNT, REGION, Some(ALICE));
    let eve = caller("444455556666", REGION, Some(EVE));
    assert_eq!(allowed(&own, &alice), Ok(()));
    assert_eq!(allowed(&own, &eve), Err(ExceptionKind::AccessDenied));
    assert_eq!(allowed(&default_policy("444455556666"), &eve), Ok(()));
    assert_eq!(
        allowed("nonsense", &alice),
        Err(ExceptionKind::AccessDenied)
    );
    assert_eq!(allowed("nonsense", &caller(ACCOUNT, REGION, None)), Ok(()));
    let stranger = caller("444455556666", REGION, None);
    let stranger = KmsCaller {
        principal: "arn:aws:iam::444455556666:root".to_owned(),
        ..stranger
    };
    assert_eq!(
        allowed(&own, &stranger),
        Err(ExceptionKind::AccessDenied),
        "of another account"
    );
}

#[test]
fn a_usable_key_is_enabled_and_connected() {
    let own_account = caller(ACCOUNT, REGION, None);
    let rejection = |key: KmsKeyState| {
        let mut state = state("");
        key_mut(
            &mut state,
            &KeyLocation {
                account: ACCOUNT.into(),
                region: REGION.into(),
                id: ID.into(),
            },
        )
        .unwrap()
        .state = key;
        let found = find(&state, &own_account, ID, AcceptedIds::Keys).unwrap();
        found
            .usable_key()
            .err()
            .map(|error| (error.kind, error.message))
    };
    assert_eq!(
        rejection(KmsKeyState::Disabled).unwrap().0,
        ExceptionKind::Disabled
    );
    let (kind, message) = rejection(KmsKeyState::PendingDeletion(9.0)).unwrap();
    assert!(kind == ExceptionKind::KmsInvalidState && message.contains("pending deletion"));
    let (kind, message) = rejection(KmsKeyState::Enabled).unwrap();
    assert!(
        kind == ExceptionKind::KmsInvalidState && message.contains("not connected"),
        "the store does not exist"
    );
}

#[test]
fn a_deleted_key_loses_its_aliases() {
    let mut state = state("");
    assert!(!state.forget_deleted(10.0));
    let at = KeyLocation {
        account: ACCOUNT.into(),
        region: REGION.into(),
        id: ID.into(),
    };
    key_mut(&mut state, &at).unwrap().state = KmsKeyState::PendingDeletion(9.0);
    assert!(!state.forget_deleted(8.0) && state.forget_deleted(9.0));
    let region_state = state.region_state(ACCOUNT, REGION).unwrap();
    assert!(region_state.keys.is_empty() && region_state.aliases.is_empty());
}
