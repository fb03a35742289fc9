//! A request body, parsed as a body of each operation, and compared with the JSON value that `serde_json` reads.
//!
//! - An accepted body is within the limits, has the values of the fields, and keeps unknown fields of the metadata.
//! - A rejected body has one of the three error names for it. Message and reason contain nothing of the body.
//! - The log's copy of the metadata is one line of JSON with the same values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use xks_proxy::json_line::JsonLine;
use xks_proxy::xks::{
    DecryptRequest, EncryptRequest, ErrorName, Fault, HealthRequest, KeyMetadataRequest, MAX_AAD,
    MAX_PLAINTEXT, RequestMetadata,
};

/// The longest ARN, in characters.
const MAX_ARN: usize = 2_048;

/// The fields of the metadata in the specification.
const KNOWN: [&str; 7] = [
    "awsPrincipalArn",
    "kmsOperation",
    "kmsRequestId",
    "kmsKeyArn",
    "kmsViaService",
    "awsSourceVpc",
    "awsSourceVpce",
];

/// The longest reason, in bytes: constants, a field's name, a line and a column.
const MAX_REASON: usize = 300;

pub fn check(data: &[u8]) {
    // Unknown fields outside of the metadata are skipped. They may have values that JSON parsers cannot represent, such as 1e999.
    let value: Option<Value> = serde_json::from_slice(data).ok();
    let parse = |name: &str| value.as_ref().map(|value| &value[name]);
    let health = accepted(HealthRequest::parse(data));
    let metadata = accepted(KeyMetadataRequest::parse(data));
    let encrypt = accepted(EncryptRequest::parse(data));
    let decrypt = accepted(DecryptRequest::parse(data));
    let all = [
        health.map(|request| request.metadata),
        metadata.map(|request| request.metadata),
        encrypt.as_ref().map(|request| request.metadata.clone()),
        decrypt.as_ref().map(|request| request.metadata.clone()),
    ];
    for metadata in all.into_iter().flatten() {
        check_metadata(&metadata, parse("requestMetadata"));
        check_line(&metadata);
    }
    if let Some(request) = encrypt {
        assert!(request.plaintext.len() <= MAX_PLAINTEXT);
        assert!(request.aad.as_bytes().len() <= MAX_AAD);
        check_bytes(request.plaintext.expose(), parse("plaintext"));
        check_bytes(request.aad.as_bytes(), parse("additionalAuthenticatedData"));
    }
    if let Some(request) = decrypt {
        let (ciphertext, tag) = request.ciphertext_and_tag.split_last_chunk::<16>().unwrap();
        assert!(ciphertext.len() <= MAX_PLAINTEXT);
        assert!(matches!(request.iv.as_bytes().len(), 12 | 16));
        assert!(request.ciphertext_metadata.as_bytes().len() <= 20);
        check_bytes(ciphertext, parse("ciphertext"));
        check_bytes(request.iv.as_bytes(), parse("initializationVector"));
        check_bytes(tag, parse("authenticationTag"));
        check_bytes(
            request.ciphertext_metadata.as_bytes(),
            parse("ciphertextMetadata"),
        );
    }
}

fn accepted<T>(parsed: Result<T, Fault>) -> Option<T> {
    let fault = match parsed {
        Ok(request) => return Some(request),
        Err(fault) => fault,
    };
    let name = fault.kind.name();
    let is_expected = matches!(
        name,
        ErrorName::Validation | ErrorName::UnsupportedOperation | ErrorName::InvalidCiphertext
    );
    assert!(is_expected, "{fault:?}");
    for text in [fault.kind.message().to_string(), format!("{fault:?}")] {
        assert!(text.is_ascii() && text.len() <= MAX_REASON, "{text}");
    }
    None
}

/// Asserts that the bytes are those of the field, or that both are absent.
fn check_bytes(bytes: &[u8], field: Option<&Value>) {
    if let Some(field) = field {
        assert_eq!(STANDARD.encode(bytes), field.as_str().unwrap_or_default());
    }
}

fn check_metadata(metadata: &RequestMetadata, value: Option<&Value>) {
    assert!(!metadata.kms_operation.is_empty() && !metadata.kms_request_id.is_empty());
    for arn in [&metadata.aws_principal_arn, &metadata.kms_key_arn]
        .into_iter()
        .flatten()
    {
        assert!(arn.chars().count() <= MAX_ARN);
    }
    let Some(Value::Object(fields)) = value else {
        assert!(value.is_none(), "the metadata is {value:?}");
        return;
    };
    check_fields(metadata, fields);
}

fn check_fields(metadata: &RequestMetadata, fields: &Map<String, Value>) {
    let texts = [
        metadata.aws_principal_arn.as_deref(),
        Some(metadata.kms_operation.as_str()),
        Some(metadata.kms_request_id.as_str()),
        metadata.kms_key_arn.as_deref(),
        metadata.kms_via_service.as_deref(),
        metadata.aws_source_vpc.as_deref(),
        metadata.aws_source_vpce.as_deref(),
    ];
    for (name, text) in KNOWN.into_iter().zip(texts) {
        assert_eq!(fields.get(name).and_then(Value::as_str), text, "{name}");
    }
    let unknown = fields
        .iter()
        .filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    assert!(unknown.eq(metadata.other.iter()), "{:?}", metadata.other);
}

fn check_line(metadata: &RequestMetadata) {
    for is_ascii in [false, true] {
        let mut line = JsonLine::begin(256, is_ascii);
        line.text("id", &metadata.kms_request_id);
        line.text_of("principal", metadata.aws_principal_arn.as_deref());
        line.object("other", |line| {
            for (name, value) in &metadata.other {
                line.value_named(name, value);
            }
        });
        let bytes = line.end();
        assert!(
            !bytes.contains(&b'\n')
                && (!is_ascii || bytes.iter().all(|byte| (0x20..0x7f).contains(byte)))
        );
        let value: Value = serde_json::from_slice(&bytes).expect("a line of JSON");
        assert_eq!(value["id"], metadata.kms_request_id.as_str());
        assert_eq!(
            value["principal"].as_str(),
            metadata.aws_principal_arn.as_deref()
        );
        assert!(
            value["other"]
                .as_object()
                .is_some_and(|other| *other == metadata.other)
        );
    }
}
