//! Records each finished call: the last usage of its keys, and its CloudTrail records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use serde_json::Value;

use crate::simulator::api::authenticate::source;
use crate::simulator::callers::caller::{KmsCall, KmsCaller};
use crate::simulator::cloudtrail::{FinishedCall, UsedKey};
use crate::simulator::crypto::blob::Blob;
use crate::simulator::crypto::random;
use crate::simulator::kms::Kms;
use crate::simulator::state::KmsState;
use crate::simulator::state::last_usage::{LastUsage, recorded};
use crate::simulator::state::lookup::{AcceptedIds, FoundKey, find};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::names::key_arn;

/// A request for an operation of KMS.
pub(in crate::simulator) struct KmsRequest<'a> {
    pub(in crate::simulator) head: &'a Parts,
    pub(in crate::simulator) operation: &'a str,
    pub(in crate::simulator) body: &'a [u8],
}

/// A header for tests: the AWS service that forwards the request of a user.
const VIA: &str = "x-kms-simulator-invoked-by";

/// Records a finished call.
pub(in crate::simulator) fn record(
    kms: &Kms,
    call: &KmsCall,
    request: &KmsRequest<'_>,
    answer: &Result<Value, Exception>,
) {
    let recorded_operation = recorded(request.operation).filter(|_| answer.is_ok());
    let is_known = !matches!(answer, Err(error) if error.kind == ExceptionKind::UnknownOperation);
    let trail = kms.trail.as_ref().filter(|_| is_known);
    if recorded_operation.is_none() && trail.is_none() {
        return;
    }
    // Only CloudTrail needs the body.
    let body = trail.map(|_| serde_json::from_slice(request.body).unwrap_or_default());
    let body: Value = body.unwrap_or_default();
    let answer_body = answer.as_ref().ok();
    let keys = kms.read(|state| used_keys(state, &call.caller, &body, answer_body));
    // Without random bytes there are no event ids.
    let Ok(recipients) = recipients(call, &keys, answer.is_ok()) else {
        return;
    };
    if let Some(operation) = recorded_operation {
        record_usages(kms, call, operation, &keys, &recipients);
    }
    if let Some(trail) = trail {
        let shared_id = random::uuid().ok().filter(|_| recipients.len() > 1);
        for recipient in &recipients {
            let event = FinishedCall {
                call,
                operation: request.operation,
                request_body: &body,
                answer,
                used_keys: &keys,
                recipient: &recipient.account,
                id: &recipient.event_id,
                shared_id: shared_id.as_deref(),
                source: address(request.head),
                user_agent: text(request.head, "user-agent"),
                invoked_by: text(request.head, VIA),
            };
            trail.add(event.record());
        }
    }
}

/// Records the last usage of each key.
fn record_usages(
    kms: &Kms,
    call: &KmsCall,
    operation: &'static str,
    keys: &[UsedKey],
    recipients: &[Recipient],
) {
    for key in keys {
        let mut recipients = recipients.iter();
        let recipient = recipients.find(|recipient| recipient.account == key.account);
        let event_id = recipient.map(|recipient| recipient.event_id.clone());
        let usage = LastUsage {
            operation,
            at: now(),
            request_id: call.request_id.clone(),
            event_id: event_id.unwrap_or_default(),
        };
        kms.usages.put(&key.arn, usage);
    }
}

/// An account that gets a CloudTrail record of a call.
struct Recipient {
    account: String,
    event_id: String,
}

/// Returns the accounts that get a record: the account of the caller and, if the call succeeded, those of the keys.
fn recipients(
    call: &KmsCall,
    used_keys: &[UsedKey],
    has_succeeded: bool,
) -> Result<Vec<Recipient>, Exception> {
    let mut accounts = vec![call.caller.account.clone()];
    for key in used_keys.iter().filter(|_| has_succeeded) {
        if !accounts.contains(&key.account) {
            accounts.push(key.account.clone());
        }
    }
    let with_id = |account| random::uuid().map(|event_id| Recipient { account, event_id });
    accounts.into_iter().map(with_id).collect()
}

/// Returns the keys that a call used; for ReEncrypt, the source key is first.
fn used_keys(
    state: &KmsState,
    caller: &KmsCaller,
    request_body: &Value,
    answer: Option<&Value>,
) -> Vec<UsedKey> {
    let member = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    let response_member = |name: &str| answer.and_then(|answer| member(answer, name));
    let new_key = answer.and_then(|answer| member(answer.get("KeyMetadata")?, "Arn"));
    let source = response_member("SourceKeyId")
        .or_else(|| member(request_body, "SourceKeyId"))
        .or_else(|| key_of_blob(request_body));
    let target = response_member("KeyId")
        .or(new_key)
        .or_else(|| member(request_body, "KeyId"))
        .or_else(|| member(request_body, "DestinationKeyId"))
        .or_else(|| member(request_body, "TargetKeyId"));
    let is_re_encrypt =
        request_body.get("DestinationKeyId").is_some() || response_member("SourceKeyId").is_some();
    let names = match (is_re_encrypt, target) {
        (true, target) => [source, target],
        (false, Some(target)) => [Some(target), None],
        (false, None) => [source, None],
    };
    let found = names.into_iter().flatten();
    found
        .filter_map(|name| {
            let found = find(state, caller, &name, AcceptedIds::KeysAndAliases).ok()?;
            Some(used_key(&found))
        })
        .collect()
}

fn used_key(found: &FoundKey<'_>) -> UsedKey {
    UsedKey {
        account: found.account.to_owned(),
        arn: found.arn(),
        store: found.key.store.clone(),
        xks_key_id: found.key.xks_key_id.clone(),
    }
}

/// Returns the ARN of the key that a ciphertext names.
fn key_of_blob(request_body: &Value) -> Option<String> {
    let text = request_body.get("CiphertextBlob")?.as_str()?;
    let key = Blob::parse(&STANDARD.decode(text).ok()?)?.key;
    Some(key_arn(&key.account, &key.region, &key.id))
}

fn address(head: &Parts) -> String {
    source(head).map_or_else(|| "AWS Internal".to_owned(), |source| source.to_string())
}

fn text<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}
