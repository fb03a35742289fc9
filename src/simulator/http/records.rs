//! Records each finished call: the last usage of its keys, and its CloudTrail events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use serde_json::Value;

use crate::simulator::api::authenticate::source;
use crate::simulator::callers::caller::{Call, Caller};
use crate::simulator::cloudtrail::{Event, Touched};
use crate::simulator::crypto::blob::Blob;
use crate::simulator::crypto::random;
use crate::simulator::state::State;
use crate::simulator::state::last_usage::{LastUsage, recorded};
use crate::simulator::state::lookup::{Found, Names, find};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::names::key_arn;
use crate::simulator::world::World;

/// A request for an operation.
pub(in crate::simulator) struct Request<'a> {
    pub(in crate::simulator) head: &'a Parts,
    pub(in crate::simulator) operation: &'a str,
    pub(in crate::simulator) body: &'a [u8],
}

/// The service on behalf of whose user a request is made, as a test says it.
const VIA: &str = "x-kms-simulator-invoked-by";

/// Records a call that has ended.
pub(in crate::simulator) fn finished(
    world: &World,
    call: &Call,
    request: &Request<'_>,
    answer: &Result<Value, Exception>,
) {
    let usage = recorded(request.operation).filter(|_| answer.is_ok());
    let is_known = !matches!(answer, Err(error) if error.kind == Kind::UnknownOperation);
    if usage.is_none() && (world.trail.is_none() || !is_known) {
        return;
    }
    let asked: Value = match &world.trail {
        // Only the events need what was asked.
        None => Value::Null,
        Some(_) => serde_json::from_slice(request.body).unwrap_or_default(),
    };
    let touched = world.read(|state| touched(state, &call.caller, &asked, answer.as_ref().ok()));
    // An event needs random ids.
    let Ok(events) = accounts(call, &touched, answer.is_ok()) else {
        return;
    };
    if let Some(operation) = usage {
        for key in &touched {
            let event = events.iter().find(|(account, _)| *account == key.account);
            let event_id = event.map(|(_, id)| id.clone()).unwrap_or_default();
            let usage = LastUsage {
                operation,
                at: now(),
                request_id: call.request_id.clone(),
                event_id,
            };
            world.usages.put(&key.arn, usage);
        }
    }
    let Some(trail) = &world.trail else { return };
    let shared = random::uuid().ok().filter(|_| events.len() > 1);
    for (account, id) in &events {
        let event = Event {
            call,
            operation: request.operation,
            asked: &asked,
            answer,
            touched: &touched,
            recipient: account,
            id,
            shared_id: shared.as_deref(),
            source: address(request.head),
            user_agent: text(request.head, "user-agent"),
            invoked_by: text(request.head, VIA),
        };
        trail.add(event.record());
    }
}

/// The accounts that get an event, each with its id: the caller's, and of a call that succeeded those of the keys.
fn accounts(
    call: &Call,
    touched: &[Touched],
    has_succeeded: bool,
) -> Result<Vec<(String, String)>, Exception> {
    let mut accounts = vec![call.caller.account.clone()];
    for key in touched.iter().filter(|_| has_succeeded) {
        if !accounts.contains(&key.account) {
            accounts.push(key.account.clone());
        }
    }
    let with_id = |account| random::uuid().map(|id| (account, id));
    accounts.into_iter().map(with_id).collect()
}

/// The keys that a call was about, the source of a ReEncrypt first.
fn touched(state: &State, caller: &Caller, asked: &Value, answer: Option<&Value>) -> Vec<Touched> {
    let member = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    let answered = |name: &str| answer.and_then(|answer| member(answer, name));
    let new_key = answer.and_then(|answer| member(answer.get("KeyMetadata")?, "Arn"));
    let source = answered("SourceKeyId")
        .or_else(|| member(asked, "SourceKeyId"))
        .or_else(|| of_blob(asked));
    let target = answered("KeyId")
        .or(new_key)
        .or_else(|| member(asked, "KeyId"))
        .or_else(|| member(asked, "DestinationKeyId"))
        .or_else(|| member(asked, "TargetKeyId"));
    let is_re_encrypt =
        asked.get("DestinationKeyId").is_some() || answered("SourceKeyId").is_some();
    let names = match (is_re_encrypt, target) {
        (true, target) => [source, target],
        (false, Some(target)) => [Some(target), None],
        (false, None) => [source, None],
    };
    let found = names.into_iter().flatten();
    found
        .filter_map(|name| {
            let found = find(state, caller, &name, Names::KeysAndAliases).ok()?;
            Some(touched_key(&found))
        })
        .collect()
}

fn touched_key(found: &Found<'_>) -> Touched {
    Touched {
        account: found.account.to_owned(),
        arn: found.arn(),
        store: found.key.store.clone(),
        xks_key_id: found.key.xks_key_id.clone(),
    }
}

/// The ARN of the key that a ciphertext names.
fn of_blob(asked: &Value) -> Option<String> {
    let text = asked.get("CiphertextBlob")?.as_str()?;
    let key = Blob::parse(&STANDARD.decode(text).ok()?)?.key;
    Some(key_arn(&key.account, &key.region, &key.id))
}

fn address(head: &Parts) -> String {
    source(head).map_or_else(|| "AWS Internal".to_owned(), |source| source.to_string())
}

fn text<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}
