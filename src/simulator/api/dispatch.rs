//! From `X-Amz-Target` to what answers it.

use std::sync::Arc;

use serde_json::Value;

use crate::simulator::api::authorize::authorize_in_account;
use crate::simulator::api::cryptography::{ciphertexts, data_keys};
use crate::simulator::api::grants::management as grants;
use crate::simulator::api::keys::{aliases, create, describe, last_usage, policy, state, tags};
use crate::simulator::api::stores::{connect, management as stores, update};
use crate::simulator::api::unsupported;
use crate::simulator::callers::caller::Call;
use crate::simulator::policy::Details;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::world::World;

/// What KMS calls itself in `X-Amz-Target`.
const SERVICE: &str = "TrentService.";

/// Operations that do not use one key. Identity policies alone authorize them; every other operation authorizes itself.
const OF_THE_ACCOUNT: [&str; 10] = [
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "DeleteCustomKeyStore",
    "DescribeCustomKeyStores",
    "DisconnectCustomKeyStore",
    "GenerateRandom",
    "ListAliases",
    "ListKeys",
    "ListRetirableGrants",
    "UpdateCustomKeyStore",
];

/// The operation that a request is for.
pub(in crate::simulator) fn operation(target: Option<&str>) -> Result<&str, Exception> {
    let operation = target.and_then(|target| target.strip_prefix(SERVICE));
    operation
        .ok_or_else(|| Kind::UnknownOperation.because("X-Amz-Target names no operation of KMS."))
}

/// The answer to an operation.
pub(in crate::simulator) async fn answer(
    world: &Arc<World>,
    call: &Call,
    operation: &str,
    body: &[u8],
) -> Result<Value, Exception> {
    if OF_THE_ACCOUNT.contains(&operation) {
        authorize_in_account(&call.caller, operation, Details::default())?;
    }
    match operation {
        "Encrypt" => ciphertexts::encrypt(world, call, body).await,
        "Decrypt" => ciphertexts::decrypt(world, call, body).await,
        "GenerateDataKey" => data_keys::data_key(world, call, body, "GenerateDataKey").await,
        "GenerateDataKeyWithoutPlaintext" => {
            data_keys::data_key(world, call, body, "GenerateDataKeyWithoutPlaintext").await
        }
        "GenerateRandom" => data_keys::random(world, call, body),
        "ReEncrypt" => ciphertexts::re_encrypt(world, call, body).await,
        "CreateCustomKeyStore" => stores::create(world, call, body).await,
        "DescribeCustomKeyStores" => stores::describe(world, call, body),
        "DeleteCustomKeyStore" => stores::delete(world, call, body).await,
        "UpdateCustomKeyStore" => update::update(world, call, body).await,
        "ConnectCustomKeyStore" => connect::connect(world, call, body).await,
        "DisconnectCustomKeyStore" => connect::disconnect(world, call, body).await,
        "CreateKey" => create::create(world, call, body).await,
        "DescribeKey" => describe::describe(world, call, body),
        "GetKeyLastUsage" => last_usage::get(world, call, body),
        "ListKeys" => describe::list(world, call, body),
        "UpdateKeyDescription" => describe::describe_anew(world, call, body).await,
        "EnableKey" => state::enable(world, call, body).await,
        "DisableKey" => state::disable(world, call, body).await,
        "ScheduleKeyDeletion" => state::schedule_deletion(world, call, body).await,
        "CancelKeyDeletion" => state::cancel_deletion(world, call, body).await,
        other => answer_more(world, call, other, body).await,
    }
}

async fn answer_more(
    world: &Arc<World>,
    call: &Call,
    operation: &str,
    body: &[u8],
) -> Result<Value, Exception> {
    match operation {
        "CreateAlias" => aliases::create(world, call, body).await,
        "UpdateAlias" => aliases::update(world, call, body).await,
        "DeleteAlias" => aliases::delete(world, call, body).await,
        "ListAliases" => aliases::list(world, call, body),
        "TagResource" => tags::tag(world, call, body).await,
        "UntagResource" => tags::untag(world, call, body).await,
        "ListResourceTags" => tags::list(world, call, body),
        "GetKeyPolicy" => policy::get(world, call, body),
        "PutKeyPolicy" => policy::put(world, call, body).await,
        "ListKeyPolicies" => policy::list(world, call, body),
        "GetKeyRotationStatus" => policy::rotation_status(world, call, body),
        "CreateGrant" => grants::create(world, call, body).await,
        "ListGrants" => grants::list(world, call, body),
        "ListRetirableGrants" => grants::list_retirable(world, call, body),
        "RevokeGrant" => grants::revoke(world, call, body).await,
        "RetireGrant" => grants::retire(world, call, body).await,
        other => unsupported::answer(world, call, other, body),
    }
}
