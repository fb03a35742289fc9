//! `requestParameters` and `responseElements`: the recorded members of requests and responses.

use serde_json::{Map, Value, json};

/// The recorded members of requests. None of them has a plaintext, a ciphertext, a secret or a grant token.
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

/// The algorithm of symmetric keys. CloudTrail records it even if the request does not have it.
const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

/// Returns the recorded members of a request; null if none is recorded.
pub(super) fn request_parameters(operation: &str, request_body: &Value) -> Value {
    let mut parameters = Map::new();
    for (name, value) in request_body.as_object().into_iter().flatten() {
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

/// Returns the recorded members of the response of an operation that changes something; null for other operations.
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

/// Returns a name with a lower-case first letter, as `keyId` for `KeyId`.
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
        let request_body = json!({
            "KeyId": "k",
            "Plaintext": "SeCrEt",
            "CiphertextBlob": "SeCrEt",
            "GrantTokens": ["SeCrEt"],
            "GrantToken": "SeCrEt",
            "XksProxyAuthenticationCredential": {"AccessKeyId": "a", "RawSecretAccessKey": "SeCrEt"},
            "OfTomorrow": "SeCrEt",
        });
        let parameters = request_parameters("GenerateDataKey", &request_body);
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
    fn names_get_a_lower_case_letter_and_contexts_do_not_change() {
        let context = json!({ "Purpose": "Test" });
        let request_body = json!({
            "Constraints": {"EncryptionContextSubset": context}, "EncryptionContext": context,
        });
        let parameters = request_parameters("CreateGrant", &request_body);
        assert_eq!(
            parameters["constraints"]["encryptionContextSubset"],
            context
        );
        assert_eq!(parameters["encryptionContext"], context);
        assert_eq!(request_parameters("ListKeys", &json!({})), Value::Null);
    }
}
