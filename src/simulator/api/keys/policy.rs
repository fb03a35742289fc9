//! GetKeyPolicy, PutKeyPolicy, ListKeyPolicies, and GetKeyRotationStatus.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, locate_with};
use crate::simulator::callers::caller::{KmsCall, KmsCaller};
use crate::simulator::crypto::context::EncryptionContext;
use crate::simulator::kms::Kms;
use crate::simulator::policy::{
    IamPolicy, KeyProperties, PolicyDecision, PolicyKind, PolicyRequest, RequestDetails,
};
use crate::simulator::state::KmsState;
use crate::simulator::state::lookup::{AcceptedIds, FoundKey, find, key_mut};
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::names::key_arn;
use crate::simulator::wire::{self, check, need};

/// The only name that a key policy can have.
const NAME: &str = "default";

/// The longest policy, in bytes.
const LONGEST: usize = 32_768;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyParameters {
    key_id: Option<String>,
    policy_name: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
}

/// Checks a new key policy: it must parse, and the caller must still be able to change it.
pub(in crate::simulator) fn check_policy(
    text: &str,
    caller: &KmsCaller,
    key_arn: &str,
    properties: Option<&dyn KeyProperties>,
    bypass: Option<bool>,
) -> Result<(), Exception> {
    check(
        (1..=LONGEST).contains(&text.len()),
        "policy",
        "Member must have length between 1 and 32768",
    )?;
    let malformed = |reason: String| {
        ExceptionKind::MalformedPolicy.with_message(format!("The policy is malformed: {reason}."))
    };
    let policy = IamPolicy::parse(text, PolicyKind::Key).map_err(malformed)?;
    let decision = policy.evaluate(&PolicyRequest {
        caller: caller.as_policy_caller(),
        action: "PutKeyPolicy",
        resource: key_arn,
        key: properties,
        details: RequestDetails {
            bypasses_lockout_check: Some(bypass == Some(true)),
            ..RequestDetails::default()
        },
    });
    let may = matches!(
        decision,
        PolicyDecision::Allowed | PolicyDecision::AccountAllowed
    );
    match bypass == Some(true) || may || !caller.is_authenticated {
        true => Ok(()),
        false => Err(ExceptionKind::MalformedPolicy.with_message(
            "The new key policy will not allow you to update the key policy in the future.",
        )),
    }
}

/// Reports the keys whose policy cannot be parsed. Such a policy comes from a state file of an older version.
pub(in crate::simulator) fn report_invalid_policies(kms: &Kms, state: &KmsState) {
    for ((account, region), region_state) in state.region_states() {
        for key in region_state.keys.values() {
            let Some(reason) = key.policy.error() else {
                continue;
            };
            let arn = key_arn(account, region, &key.id);
            let members = json!({ "key": arn, "what": reason });
            kms.events.emit("policy_not_understood", members, || {
                format!("the policy of {arn} allows nothing: {reason}; start the simulator without --credentials and put a valid policy")
            });
        }
    }
}

/// GetKeyPolicy.
pub(in crate::simulator) fn get(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: PolicyParameters = wire::parse(body)?;
    let policy = read_key(kms, call, &request, "GetKeyPolicy", |found| {
        found.key.policy.text().to_owned()
    })?;
    Ok(json!({ "Policy": policy, "PolicyName": NAME }))
}

/// ListKeyPolicies.
pub(in crate::simulator) fn list(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: PolicyParameters = wire::parse(body)?;
    read_key(kms, call, &request, "ListKeyPolicies", |_| ())?;
    Ok(json!({ "PolicyNames": [NAME], "Truncated": false }))
}

/// GetKeyRotationStatus. KMS does not rotate external keys.
pub(in crate::simulator) fn rotation_status(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: PolicyParameters = wire::parse(body)?;
    let arn = read_key(kms, call, &request, "GetKeyRotationStatus", |found| {
        found.arn()
    })?;
    Ok(json!({ "KeyId": arn, "KeyRotationEnabled": false }))
}

fn read_key<T>(
    kms: &Kms,
    call: &KmsCall,
    request: &PolicyParameters,
    action: &str,
    read: impl FnOnce(&FoundKey<'_>) -> T,
) -> Result<T, Exception> {
    let id = need(&request.key_id, "keyId")?;
    check_policy_name(request)?;
    kms.read(|state| {
        let found = find(state, &call.caller, id, AcceptedIds::Keys)?;
        authorize(&found, &call.caller, action, &EncryptionContext::default())?;
        Ok(read(&found))
    })
}

fn check_policy_name(request: &PolicyParameters) -> Result<(), Exception> {
    match request.policy_name.as_deref() {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(ExceptionKind::NotFound
            .with_message("No such policy exists: the only policy of a key is named default.")),
    }
}

/// PutKeyPolicy.
pub(in crate::simulator) async fn put(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: PolicyParameters = wire::parse(body)?;
    let (id, policy) = (
        need(&request.key_id, "keyId")?,
        need(&request.policy, "policy")?,
    );
    check_policy_name(&request)?;
    let bypass = request.bypass_policy_lockout_safety_check;
    let details = RequestDetails {
        bypasses_lockout_check: Some(bypass == Some(true)),
        ..RequestDetails::default()
    };
    kms.change(|state| {
        let at = locate_with(state, &call.caller, id, "PutKeyPolicy", details)?;
        let found = find(state, &call.caller, id, AcceptedIds::Keys)?;
        found.check_not_pending()?;
        check_policy(policy, &call.caller, &found.arn(), Some(&found), bypass)?;
        key_mut(state, &at)?.policy = policy.clone().into();
        Ok(json!({}))
    })
    .await
}
