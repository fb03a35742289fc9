//! `requestParameters` and `responseElements`: the members of requests and answers that a trail may hold.

use serde_json::{Map, Value, json};

/// The members of requests that are recorded. None of them holds a plaintext, a ciphertext, a secret or a grant token.
const RECORDED: [&str; 45] = [
    "AliasName",
    "BypassPolicyLockoutSafetyCheck",
    "Constraints",
    "CustomKeyStoreId",
    "CustomKeyStoreName",
    "CustomKeyStoreType",
    "CustomerMasterKeySpec",
    "Description",
    "DestinationEncryptionAlgorithm",
    "DestinationEncryptionContext",
    "DestinationKeyId",
    "DryRun",
    "DryRunModifiers",
    "EncryptionAlgorithm",
    "EncryptionContext",
    "GrantId",
    "GranteePrincipal",
    "GranteeServicePrincipal",
    "KeyId",
    "KeySpec",
    "KeyUsage",
    "Limit",
    "Marker",
    "MultiRegion",
    "Name",
    "NewCustomKeyStoreName",
    "NumberOfBytes",
    "Operations",
    "Origin",
    "PendingWindowInDays",
    "Policy",
    "PolicyName",
    "RetiringPrincipal",
    "RetiringServicePrincipal",
    "SourceEncryptionAlgorithm",
    "SourceEncryptionContext",
    "SourceKeyId",
    "TagKeys",
    "TargetKeyId",
    "XksKeyId",
    "XksProxyConnectivity",
    "XksProxyUriEndpoint",
    "XksProxyUriPath",
    "XksProxyVpcEndpointServiceName",
    "XksProxyVpcEndpointServiceOwner",
];

/// The algorithm of symmetric keys, which CloudTrail names also when the request does not.
const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

/// What the request asked for; null when that was nothing.
pub(super) fn request_parameters(operation: &str, asked: &Value) -> Value {
    let mut parameters = Map::new();
    for (name, value) in asked.as_object().into_iter().flatten() {
        if RECORDED.contains(&name.as_str()) {
            let value = match name.as_str() {
                "Constraints" => lower_members(value),
                _ => value.clone(),
            };
            parameters.insert(lower(name), value);
        }
    }
    for name in algorithms(operation) {
        let default = || json!(ALGORITHM);
        parameters.entry(*name).or_insert_with(default);
    }
    match parameters.is_empty() {
        true => Value::Null,
        false => Value::Object(parameters),
    }
}

fn algorithms(operation: &str) -> &'static [&'static str] {
    match operation {
        "Encrypt" | "Decrypt" => &["encryptionAlgorithm"],
        "ReEncrypt" => &[
            "sourceEncryptionAlgorithm",
            "destinationEncryptionAlgorithm",
        ],
        _ => &[],
    }
}

/// What the answer of an operation that changes something says, as far as CloudTrail tells it; null for all others.
pub(super) fn response_elements(operation: &str, answer: Option<&Value>) -> Value {
    let member = match operation {
        "CreateKey" => "KeyMetadata",
        "CreateGrant" => "GrantId",
        "CreateCustomKeyStore" => "CustomKeyStoreId",
        _ => return Value::Null,
    };
    match answer.and_then(|answer| answer.get(member)) {
        None => Value::Null,
        Some(value) => json!({ lower(member): lower_members(value) }),
    }
}

/// `KeyId` as `keyId`.
fn lower(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

fn lower_members(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter();
            let lowered = members.map(|(name, value)| (lower(name), value.clone()));
            Value::Object(lowered.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_recorded() {
        let asked = json!({
            "KeyId": "k",
            "Plaintext": "SeCrEt",
            "CiphertextBlob": "SeCrEt",
            "GrantTokens": ["SeCrEt"],
            "GrantToken": "SeCrEt",
            "XksProxyAuthenticationCredential": {"AccessKeyId": "a", "RawSecretAccessKey": "SeCrEt"},
            "OfTomorrow": "SeCrEt",
        });
        let parameters = request_parameters("GenerateDataKey", &asked);
        assert_eq!(parameters, json!({ "keyId": "k" }));
        let answer = json!({ "GrantId": "g", "GrantToken": "SeCrEt", "Plaintext": "SeCrEt" });
        assert_eq!(
            response_elements("CreateGrant", Some(&answer)),
            json!({ "grantId": "g" })
        );
        assert_eq!(
            response_elements("GenerateDataKey", Some(&answer)),
            Value::Null
        );
    }

    #[test]
    fn names_begin_in_lower_case_and_contexts_stay() {
        let context = json!({ "Purpose": "Test" });
        let asked = json!({
            "Constraints": {"EncryptionContextSubset": context}, "EncryptionContext": context,
        });
        let parameters = request_parameters("CreateGrant", &asked);
        assert_eq!(
            parameters["constraints"]["encryptionContextSubset"],
            context
        );
        assert_eq!(parameters["encryptionContext"], context);
        assert_eq!(request_parameters("ListKeys", &json!({})), Value::Null);
    }
}
