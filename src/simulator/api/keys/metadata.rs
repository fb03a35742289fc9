//! The description of a key.

use serde_json::{Value, json};

use crate::simulator::state::KmsKeyState;
use crate::simulator::state::lookup::FoundKey;

/// Returns the `KeyMetadata` of a key.
pub(in crate::simulator) fn key_metadata(found: &FoundKey<'_>) -> Value {
    let key = found.key;
    let state = match key.state {
        KmsKeyState::Enabled if !found.is_connected() => "Unavailable",
        KmsKeyState::Enabled => "Enabled",
        KmsKeyState::Disabled => "Disabled",
        KmsKeyState::PendingDeletion(_) => "PendingDeletion",
    };
    let mut described = json!({
        "AWSAccountId": found.account,
        "Arn": found.arn(),
        "CreationDate": key.created,
        "CustomKeyStoreId": key.store,
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "Description": key.description,
        "Enabled": state == "Enabled",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "KeyId": key.id,
        "KeyManager": "CUSTOMER",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyState": state,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": false,
        "Origin": "EXTERNAL_KEY_STORE",
        "XksKeyConfiguration": { "Id": key.xks_key_id },
    });
    if let (KmsKeyState::PendingDeletion(at), Some(members)) =
        (key.state, described.as_object_mut())
    {
        members.insert("DeletionDate".to_owned(), json!(at));
    }
    described
}
