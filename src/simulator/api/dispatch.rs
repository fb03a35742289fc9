//! Selects the operation that `X-Amz-Target` names.

use std::sync::Arc;

use serde_json::Value;

use crate::simulator::api::authorize::authorize_in_account;
use crate::simulator::api::cryptography::{ciphertexts, data_keys};
use crate::simulator::api::grants::management as grants;
use crate::simulator::api::keys::{aliases, create, describe, last_usage, policy, state, tags};
use crate::simulator::api::stores::{connect, management as stores, update};
use crate::simulator::api::unsupported;
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::kms::Kms;
use crate::simulator::policy::RequestDetails;
use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// The name of KMS in `X-Amz-Target`.
const SERVICE: &str = "TrentService.";

/// Operations that do not use one key. Identity policies alone authorize them; every other operation authorizes itself.
const ACCOUNT_OPERATIONS: [&str; 10] = [
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

/// Returns the name of the operation in `X-Amz-Target`.
pub(in crate::simulator) fn operation(target: Option<&str>) -> Result<&str, Exception> {
    let operation = target.and_then(|target| target.strip_prefix(SERVICE));
    operation.ok_or_else(|| {
        ExceptionKind::UnknownOperation.with_message("X-Amz-Target is not an operation of KMS.")
    })
}

/// Performs an operation and returns its response.
pub(in crate::simulator) async fn answer(
    kms: &Arc<Kms>,
    call: &KmsCall,
    operation: &str,
    body: &[u8],
) -> Result<Value, Exception> {
    if ACCOUNT_OPERATIONS.contains(&operation) {
        authorize_in_account(&call.caller, operation, RequestDetails::default())?;
    }
    match operation {
        "Encrypt" => ciphertexts::encrypt(kms, call, body).await,
        "Decrypt" => ciphertexts::decrypt(kms, call, body).await,
        "GenerateDataKey" => data_keys::data_key(kms, call, body, "GenerateDataKey").await,
        "GenerateDataKeyWithoutPlaintext" => {
            data_keys::data_key(kms, call, body, "GenerateDataKeyWithoutPlaintext").await
        }
        "GenerateRandom" => data_keys::random(kms, call, body),
        "ReEncrypt" => ciphertexts::re_encrypt(kms, call, body).await,
        "CreateCustomKeyStore" => stores::create(kms, call, body).await,
        "DescribeCustomKeyStores" => stores::describe(kms, call, body),
        "DeleteCustomKeyStore" => stores::delete(kms, call, body).await,
        "UpdateCustomKeyStore" => update::update(kms, call, body).await,
        "ConnectCustomKeyStore" => connect::connect(kms, call, body).await,
        "DisconnectCustomKeyStore" => connect::disconnect(kms, call, body).await,
        "CreateKey" => create::create(kms, call, body).await,
        "DescribeKey" => describe::describe(kms, call, body),
        "GetKeyLastUsage" => last_usage::get(kms, call, body),
        "ListKeys" => describe::list(kms, call, body),
        "UpdateKeyDescription" => describe::update_description(kms, call, body).await,
        "EnableKey" => state::enable(kms, call, body).await,
        "DisableKey" => state::disable(kms, call, body).await,
        "ScheduleKeyDeletion" => state::schedule_deletion(kms, call, body).await,
        "CancelKeyDeletion" => state::cancel_deletion(kms, call, body).await,
        other => answer_other(kms, call, other, body).await,
    }
}

async fn answer_other(
    kms: &Arc<Kms>,
    call: &KmsCall,
    operation: &str,
    body: &[u8],
) -> Result<Value, Exception> {
    match operation {
        "CreateAlias" => aliases::create(kms, call, body).await,
        "UpdateAlias" => aliases::update(kms, call, body).await,
        "DeleteAlias" => aliases::delete(kms, call, body).await,
        "ListAliases" => aliases::list(kms, call, body),
        "TagResource" => tags::tag(kms, call, body).await,
        "UntagResource" => tags::untag(kms, call, body).await,
        "ListResourceTags" => tags::list(kms, call, body),
        "GetKeyPolicy" => policy::get(kms, call, body),
        "PutKeyPolicy" => policy::put(kms, call, body).await,
        "ListKeyPolicies" => policy::list(kms, call, body),
        "GetKeyRotationStatus" => policy::rotation_status(kms, call, body),
        "CreateGrant" => grants::create(kms, call, body).await,
        "ListGrants" => grants::list(kms, call, body),
        "ListRetirableGrants" => grants::list_retirable(kms, call, body),
        "RevokeGrant" => grants::revoke(kms, call, body).await,
        "RetireGrant" => grants::retire(kms, call, body).await,
        other => unsupported::answer(kms, call, other, body),
    }
}
