//! How KMS describes a key.

use serde_json::{Value, json};

use crate::simulator::state::KeyState;
use crate::simulator::state::lookup::Found;

/// KeyMetadata.
pub(in crate::simulator) fn described(found: &Found<'_>) -> Value {
    let key = found.key;
    let state = match key.state {
        KeyState::Enabled if !found.is_connected() => "Unavailable",
        KeyState::Enabled => "Enabled",
        KeyState::Disabled => "Disabled",
        KeyState::PendingDeletion(_) => "PendingDeletion",
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
    if let (KeyState::PendingDeletion(at), Some(members)) = (key.state, described.as_object_mut()) {
        members.insert("DeletionDate".to_owned(), json!(at));
    }
    described
}
