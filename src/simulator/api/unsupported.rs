//! Operations of KMS that keys in external key stores do not support.

use serde::Deserialize;
use serde_json::Value;

use crate::simulator::callers::caller::KmsCall;
use crate::simulator::kms::Kms;
use crate::simulator::state::lookup::{AcceptedIds, find};
use crate::simulator::wire;
use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// Each operation with the feature that it requires.
const OPERATIONS: [(&str, &str); 19] = [
    ("Decapsulate", "asymmetric keys"),
    ("DeleteImportedKeyMaterial", "imported key material"),
    ("DeriveSharedSecret", "asymmetric keys"),
    ("DisableKeyRotation", "automatic rotation"),
    ("EnableKeyRotation", "automatic rotation"),
    ("Encapsulate", "asymmetric keys"),
    ("GenerateDataKeyPair", "data key pairs"),
    ("GenerateDataKeyPairWithoutPlaintext", "data key pairs"),
    ("GenerateMac", "HMAC keys"),
    ("GetParametersForImport", "imported key material"),
    ("GetPublicKey", "asymmetric keys"),
    ("ImportKeyMaterial", "imported key material"),
    ("ListKeyRotations", "automatic rotation"),
    ("ReplicateKey", "multi-Region keys"),
    ("RotateKeyOnDemand", "rotation by KMS"),
    ("Sign", "asymmetric keys"),
    ("UpdatePrimaryRegion", "multi-Region keys"),
    ("Verify", "asymmetric keys"),
    ("VerifyMac", "HMAC keys"),
];

/// Operations that do not declare UnsupportedOperationException.
const NOT_FOR_THIS_KEY: [&str; 7] = [
    "Decapsulate",
    "DeriveSharedSecret",
    "Encapsulate",
    "GenerateMac",
    "Sign",
    "Verify",
    "VerifyMac",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AnyKey {
    key_id: Option<String>,
}

/// Returns the exception for an operation that the simulator does not have.
pub(in crate::simulator) fn answer(
    kms: &Kms,
    call: &KmsCall,
    operation: &str,
    body: &[u8],
) -> Result<Value, Exception> {
    let known = OPERATIONS.iter().find(|(name, _)| *name == operation);
    let Some((_, feature)) = known else {
        return Err(
            ExceptionKind::UnknownOperation.with_message("KMS does not have this operation.")
        );
    };
    let request: AnyKey = wire::parse(body)?;
    if let Some(id) = &request.key_id {
        kms.read(|state| find(state, &call.caller, id, AcceptedIds::KeysAndAliases).map(drop))?;
    }
    // The exceptions that the operations declare for a key of the wrong type.
    let kind = match NOT_FOR_THIS_KEY.contains(&operation) {
        true => ExceptionKind::InvalidKeyUsage,
        false => ExceptionKind::UnsupportedOperation,
    };
    Err(kind.with_message(format!(
        "{operation} is not supported: keys in external key stores do not have {feature}."
    )))
}
