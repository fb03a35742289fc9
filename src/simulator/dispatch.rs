//! From `X-Amz-Target` to what answers it.

use std::sync::Arc;

use serde_json::Value;

use super::authorize::authorize_in_account;
use super::caller::Call;
use super::exception::{Exception, Kind};
use super::policy::Details;
use super::world::World;
use super::{
    aliases, connect, cryptography, data_keys, grant_calls, key_calls, key_state, policy_calls,
    store_calls, store_changes, tags, unsupported, usage_calls,
};

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
pub(super) fn operation(target: Option<&str>) -> Result<&str, Exception> {
    let operation = target.and_then(|target| target.strip_prefix(SERVICE));
    operation
        .ok_or_else(|| Kind::UnknownOperation.because("X-Amz-Target names no operation of KMS."))
}

/// The answer to an operation.
pub(super) async fn answer(
    world: &Arc<World>,
    call: &Call,
    operation: &str,
    body: &[u8],
) -> Result<Value, Exception> {
    if OF_THE_ACCOUNT.contains(&operation) {
        authorize_in_account(&call.caller, operation, Details::default())?;
    }
    match operation {
        "Encrypt" => cryptography::encrypt(world, call, body).await,
        "Decrypt" => cryptography::decrypt(world, call, body).await,
        "GenerateDataKey" => data_keys::data_key(world, call, body, "GenerateDataKey").await,
        "GenerateDataKeyWithoutPlaintext" => {
            data_keys::data_key(world, call, body, "GenerateDataKeyWithoutPlaintext").await
        }
        "GenerateRandom" => data_keys::random(world, call, body),
        "ReEncrypt" => cryptography::re_encrypt(world, call, body).await,
        "CreateCustomKeyStore" => store_calls::create(world, call, body).await,
        "DescribeCustomKeyStores" => store_calls::describe(world, call, body),
        "DeleteCustomKeyStore" => store_calls::delete(world, call, body).await,
        "UpdateCustomKeyStore" => store_changes::update(world, call, body).await,
        "ConnectCustomKeyStore" => connect::connect(world, call, body).await,
        "DisconnectCustomKeyStore" => connect::disconnect(world, call, body).await,
        "CreateKey" => key_calls::create(world, call, body).await,
        "DescribeKey" => key_calls::describe(world, call, body),
        "GetKeyLastUsage" => usage_calls::get(world, call, body),
        "ListKeys" => key_calls::list(world, call, body),
        "UpdateKeyDescription" => key_calls::describe_anew(world, call, body).await,
        "EnableKey" => key_state::enable(world, call, body).await,
        "DisableKey" => key_state::disable(world, call, body).await,
        "ScheduleKeyDeletion" => key_state::schedule_deletion(world, call, body).await,
        "CancelKeyDeletion" => key_state::cancel_deletion(world, call, body).await,
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
        "GetKeyPolicy" => policy_calls::get(world, call, body),
        "PutKeyPolicy" => policy_calls::put(world, call, body).await,
        "ListKeyPolicies" => policy_calls::list(world, call, body),
        "GetKeyRotationStatus" => policy_calls::rotation_status(world, call, body),
        "CreateGrant" => grant_calls::create(world, call, body).await,
        "ListGrants" => grant_calls::list(world, call, body),
        "ListRetirableGrants" => grant_calls::list_retirable(world, call, body),
        "RevokeGrant" => grant_calls::revoke(world, call, body).await,
        "RetireGrant" => grant_calls::retire(world, call, body).await,
        other => unsupported::answer(world, call, other, body),
    }
}
