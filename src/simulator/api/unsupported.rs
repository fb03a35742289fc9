//! Operations that KMS has, and keys in external key stores have not.

use serde::Deserialize;
use serde_json::Value;

use crate::simulator::callers::caller::Call;
use crate::simulator::state::lookup::{Names, find};
use crate::simulator::wire;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::world::World;

/// Each of them, with what it would need.
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

/// Those that do not declare UnsupportedOperationException.
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

/// The answer to an operation that is not one of the simulator's.
pub(in crate::simulator) fn answer(
    world: &World,
    call: &Call,
    operation: &str,
    body: &[u8],
) -> Result<Value, Exception> {
    let known = OPERATIONS.iter().find(|(name, _)| *name == operation);
    let Some((_, what)) = known else {
        return Err(Kind::UnknownOperation.because("KMS has no such operation."));
    };
    let request: AnyKey = wire::parse(body)?;
    if let Some(id) = &request.key_id {
        world.read(|state| find(state, &call.caller, id, Names::KeysAndAliases).map(drop))?;
    }
    // What the operations declare for a key of another type.
    let kind = match NOT_FOR_THIS_KEY.contains(&operation) {
        true => Kind::InvalidKeyUsage,
        false => Kind::UnsupportedOperation,
    };
    Err(kind.because(format!(
        "{operation} is not supported: keys in external key stores have no {what}."
    )))
}
