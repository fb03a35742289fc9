//! Records have the members that AWS documents.

use super::*;
use crate::simulator::callers::caller::KmsCaller;
use crate::simulator::callers::principals::CallerProperties;

const ARN: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn call(account: &str) -> KmsCall {
    KmsCall {
        caller: KmsCaller {
            account: account.into(),
            region: "us-west-2".into(),
            principal: format!("arn:aws:iam::{account}:user/Alice"),
            is_authenticated: true,
            properties: CallerProperties::default(),
        },
        request_id: "request".into(),
    }
}

fn key(store: &str) -> UsedKey {
    UsedKey {
        account: "111122223333".into(),
        arn: ARN.into(),
        store: store.into(),
        xks_key_id: "abc01234567890fe".into(),
    }
}

fn recorded(
    operation: &str,
    request_body: &Value,
    answer: &Result<Value, Exception>,
    used_keys: &[UsedKey],
) -> Value {
    let call = call("111122223333");
    let event = FinishedCall {
        call: &call,
        operation,
        request_body,
        answer,
        used_keys,
        recipient: "111122223333",
        id: "event",
        shared_id: None,
        source: "127.0.0.1".into(),
        user_agent: Some("a test"),
        invoked_by: None,
    };
    event.record().value
}

#[test]
fn a_decrypt_is_recorded_as_documented() {
    let request_body = json!({
        "CiphertextBlob": "c2VjcmV0", "KeyId": ARN, "EncryptionContext": {"Purpose": "Test"},
    });
    let answer = Ok(json!({ "KeyId": ARN, "Plaintext": "c2VjcmV0" }));
    let mut record = recorded("Decrypt", &request_body, &answer, &[key("cks-1")]);
    let time = record.as_object_mut().unwrap().remove("eventTime").unwrap();
    let time = time.as_str().unwrap();
    assert_eq!(
        (time.len(), &time[10..11], &time[19..]),
        (20, "T", "Z"),
        "{time}"
    );
    let expected = json!({
        "eventVersion": "1.11",
        "userIdentity": record["userIdentity"].clone(),
        "eventSource": "kms.amazonaws.com",
        "eventName": "Decrypt",
        "awsRegion": "us-west-2",
        "sourceIPAddress": "127.0.0.1",
        "userAgent": "a test",
        "requestParameters": {
            "encryptionAlgorithm": "SYMMETRIC_DEFAULT", "keyId": ARN, "encryptionContext": {"Purpose": "Test"},
        },
        "responseElements": null,
        "additionalEventData": {"customKeyStoreId": "cks-1", "xksKeyId": "abc01234567890fe"},
        "requestID": "request",
        "eventID": "event",
        "readOnly": true,
        "eventType": "AwsApiCall",
        "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": ARN}],
        "managementEvent": true,
        "recipientAccountId": "111122223333",
        "eventCategory": "Management",
    });
    assert_eq!(record, expected);
}

#[test]
fn failures_have_a_code_and_a_message() {
    let failed = |kind: ExceptionKind| {
        let answer = Err(kind.with_message("why"));
        recorded(
            "Encrypt",
            &json!({ "KeyId": "alias/a" }),
            &answer,
            &[key("cks-1")],
        )
    };
    let record = failed(ExceptionKind::KmsInvalidState);
    assert_eq!(record["errorCode"], "KMSInvalidStateException");
    assert_eq!(
        (&record["errorMessage"], &record["responseElements"]),
        (&json!("why"), &Value::Null)
    );
    assert_eq!(
        record["requestParameters"]["keyId"], "alias/a",
        "as the caller wrote it"
    );
    assert_eq!(
        failed(ExceptionKind::AccessDenied)["errorCode"],
        "AccessDenied"
    );
}

#[test]
fn a_re_encrypt_has_two_resources_and_no_additional_data() {
    let request_body = json!({ "DestinationKeyId": ARN, "CiphertextBlob": "YQ==" });
    let record = recorded(
        "ReEncrypt",
        &request_body,
        &Ok(json!({})),
        &[key("cks-1"), key("cks-2")],
    );
    assert_eq!(record["resources"].as_array().unwrap().len(), 2);
    assert!(record.get("additionalEventData").is_none());
    assert_eq!(
        record["requestParameters"]["sourceEncryptionAlgorithm"],
        "SYMMETRIC_DEFAULT"
    );
}

#[test]
fn read_only_operations_are_marked() {
    for (operation, expected) in [
        ("Decrypt", true),
        ("GenerateDataKey", true),
        ("ListKeys", true),
        ("GetKeyLastUsage", true),
        ("CreateGrant", false),
        ("DisableKey", false),
    ] {
        assert_eq!(is_read_only(operation), expected, "{operation}");
    }
}
