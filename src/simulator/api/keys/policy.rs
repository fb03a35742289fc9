//! GetKeyPolicy, PutKeyPolicy, ListKeyPolicies, and GetKeyRotationStatus.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, locate_with};
use crate::simulator::callers::caller::{Call, Caller};
use crate::simulator::crypto::context::Context;
use crate::simulator::policy::{Details, KeyFacts, Policy, PolicyKind, Request, Verdict};
use crate::simulator::state::State;
use crate::simulator::state::lookup::{Found, Names, find, key_mut};
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::names::key_arn;
use crate::simulator::wire::{self, check, need};
use crate::simulator::world::World;

/// The only name that a key policy can have.
const NAME: &str = "default";

/// The longest policy, in bytes.
const LONGEST: usize = 32_768;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyFields {
    key_id: Option<String>,
    policy_name: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
}

/// Whether a policy can be a key's: it is one, and the caller does not lock itself out.
pub(in crate::simulator) fn check_policy(
    text: &str,
    caller: &Caller,
    key_arn: &str,
    facts: Option<&dyn KeyFacts>,
    bypass: Option<bool>,
) -> Result<(), Exception> {
    check(
        (1..=LONGEST).contains(&text.len()),
        "policy",
        "Member must have length between 1 and 32768",
    )?;
    let malformed =
        |why: String| Kind::MalformedPolicy.because(format!("The policy is malformed: {why}."));
    let policy = Policy::parse(text, PolicyKind::Key).map_err(malformed)?;
    let verdict = policy.judge(&Request {
        who: caller.who(),
        action: "PutKeyPolicy",
        resource: key_arn,
        key: facts,
        details: Details {
            bypasses_lockout_check: Some(bypass == Some(true)),
            ..Details::default()
        },
    });
    let may = matches!(verdict, Verdict::Allowed | Verdict::AccountAllowed);
    match bypass == Some(true) || may || !caller.is_named {
        true => Ok(()),
        false => Err(Kind::MalformedPolicy.because(
            "The new key policy will not allow you to update the key policy in the future.",
        )),
    }
}

/// Reports the keys whose policy cannot be parsed. It comes from a state file that an older version has written.
pub(in crate::simulator) fn tell_unreadable(world: &World, state: &State) {
    for ((account, region), place) in state.places() {
        for key in place.keys.values() {
            let Some(why) = key.policy.error() else {
                continue;
            };
            let arn = key_arn(account, region, &key.id);
            let members = json!({ "key": arn, "what": why });
            world.events.tell("policy_not_understood", members, || {
                format!("the policy of {arn} allows nothing: {why}; put another one, in a run without --credentials")
            });
        }
    }
}

/// GetKeyPolicy.
pub(in crate::simulator) fn get(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: PolicyFields = wire::parse(body)?;
    let policy = looked_up(world, call, &request, "GetKeyPolicy", |found| {
        found.key.policy.text().to_owned()
    })?;
    Ok(json!({ "Policy": policy, "PolicyName": NAME }))
}

/// ListKeyPolicies.
pub(in crate::simulator) fn list(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: PolicyFields = wire::parse(body)?;
    looked_up(world, call, &request, "ListKeyPolicies", |_| ())?;
    Ok(json!({ "PolicyNames": [NAME], "Truncated": false }))
}

/// GetKeyRotationStatus: an external key rotates where it is.
pub(in crate::simulator) fn rotation_status(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: PolicyFields = wire::parse(body)?;
    let arn = looked_up(world, call, &request, "GetKeyRotationStatus", |found| {
        found.arn()
    })?;
    Ok(json!({ "KeyId": arn, "KeyRotationEnabled": false }))
}

fn looked_up<T>(
    world: &World,
    call: &Call,
    request: &PolicyFields,
    action: &str,
    look: impl FnOnce(&Found<'_>) -> T,
) -> Result<T, Exception> {
    let id = need(&request.key_id, "keyId")?;
    check_policy_name(request)?;
    world.read(|state| {
        let found = find(state, &call.caller, id, Names::Keys)?;
        authorize(&found, &call.caller, action, &Context::default())?;
        Ok(look(&found))
    })
}

fn check_policy_name(request: &PolicyFields) -> Result<(), Exception> {
    match request.policy_name.as_deref() {
        None | Some(NAME) => Ok(()),
        Some(_) => {
            Err(Kind::NotFound.because("No such policy exists: a key's only one is named default."))
        }
    }
}

/// PutKeyPolicy.
pub(in crate::simulator) async fn put(
    world: &Arc<World>,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: PolicyFields = wire::parse(body)?;
    let (id, policy) = (
        need(&request.key_id, "keyId")?,
        need(&request.policy, "policy")?,
    );
    check_policy_name(&request)?;
    let bypass = request.bypass_policy_lockout_safety_check;
    let details = Details {
        bypasses_lockout_check: Some(bypass == Some(true)),
        ..Details::default()
    };
    world
        .change(|state| {
            let at = locate_with(state, &call.caller, id, "PutKeyPolicy", details)?;
            let found = find(state, &call.caller, id, Names::Keys)?;
            found.check_not_pending()?;
            check_policy(policy, &call.caller, &found.arn(), Some(&found), bypass)?;
            key_mut(state, &at)?.policy = policy.clone().into();
            Ok(json!({}))
        })
        .await
}
