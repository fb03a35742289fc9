//! The parameters of requests in JSON 1.1. A body of the wrong form is a SerializationException; a value that breaks a rule is a
//! ValidationException.
//!
//! # Invariants
//! - Messages do not quote values of the request, because they may be secrets.

pub(super) mod clock;
pub(super) mod exception;
pub(super) mod names;
pub(super) mod pages;
pub(super) mod patterns;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::{Secret, SecretBytes};
use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// Parses the body of a request.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Exception> {
    let unreadable = |message: String| ExceptionKind::Serialization.with_message(message);
    // serde_json would accept an array for a struct, with the fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(unreadable("The body is not a JSON object.".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| {
        let problem = match error.is_data() {
            true => "has a member of a wrong type",
            false => "is not JSON",
        };
        let (line, column) = (error.line(), error.column());
        unreadable(format!(
            "The body {problem} (line {line}, column {column})."
        ))
    })
}

/// Returns the value of a required parameter.
pub(super) fn need<'a, T>(value: &'a Option<T>, member: &str) -> Result<&'a T, Exception> {
    value
        .as_ref()
        .ok_or_else(|| invalid(member, "Member must not be null"))
}

/// Returns a ValidationException if a constraint does not hold.
pub(super) fn check(holds: bool, member: &str, constraint: &str) -> Result<(), Exception> {
    match holds {
        true => Ok(()),
        false => Err(invalid(member, constraint)),
    }
}

/// Checks the length of a text, in characters, and its bytes.
pub(super) fn check_text(
    text: &str,
    lengths: std::ops::RangeInclusive<usize>,
    is_legal: impl Fn(u8) -> bool,
    member: &str,
) -> Result<(), Exception> {
    let (least, most) = (lengths.start(), lengths.end());
    let fits = lengths.contains(&text.chars().count());
    let constraint = format!("Member must have length between {least} and {most}");
    check(fits, member, &constraint)?;
    let is_legal = text.bytes().all(is_legal);
    check(
        is_legal,
        member,
        "Member must satisfy its regular expression pattern",
    )
}

/// Returns the ValidationException for a parameter that breaks a constraint.
pub(super) fn invalid(member: &str, constraint: &str) -> Exception {
    let message = format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: {constraint}"
    );
    ExceptionKind::Validation.with_message(message)
}

/// A parameter in Base64: a plaintext or a blob.
#[derive(Debug, Default)]
pub(super) struct Base64Bytes(pub(super) SecretBytes);

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_bytes());
        // The error text of the decoder would quote the text.
        let bytes = bytes.map_err(|_| D::Error::custom("not Base64"))?;
        Ok(Self(SecretBytes::new(bytes)))
    }
}

/// A parameter that is a secret text.
#[derive(Debug)]
pub(super) struct SecretText(pub(super) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Secret::new(text)))
    }
}

/// Encodes bytes in Base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A tag of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) tag_key: String,
    pub(super) tag_value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct SampleRequest {
        key_id: Option<String>,
        plaintext: Option<Base64Bytes>,
    }

    #[test]
    fn a_body_of_the_wrong_form_is_a_serialization_exception() {
        for bad in [
            "",
            "[]",
            "null",
            "{",
            "{\"KeyId\":7}",
            "{\"Plaintext\":\"%%\"}",
            "{\"Plaintext\":\"SeCrEt!\"}",
        ] {
            let error = parse::<SampleRequest>(bad.as_bytes()).unwrap_err();
            assert_eq!(error.kind, ExceptionKind::Serialization, "{bad}");
            assert!(!error.message.contains("SeCrEt"));
        }
        let sample: SampleRequest =
            parse(b" {\"KeyId\":\"k\",\"Plaintext\":\"aGk=\",\"Else\":1}").unwrap();
        assert_eq!(need(&sample.key_id, "keyId").unwrap(), "k");
        assert_eq!(sample.plaintext.unwrap().0.expose(), b"hi");
    }

    #[test]
    fn validation_messages_name_the_constraint() {
        let missing = need::<String>(&None, "keyId").unwrap_err();
        assert_eq!(missing.kind, ExceptionKind::Validation);
        assert!(missing.message.contains("'keyId'") && missing.message.contains("not be null"));
        let legal = |b: u8| b.is_ascii_digit();
        assert!(check_text("123", 1..=3, legal, "m").is_ok());
        for bad in ["", "1234", "a"] {
            assert!(check_text(bad, 1..=3, legal, "m").is_err(), "{bad}");
        }
    }
}
