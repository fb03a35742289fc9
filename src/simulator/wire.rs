//! Requests as JSON 1.1: what is no JSON of the right shape is a SerializationException, what breaks a rule a ValidationException.
//!
//! # Invariants
//! - No value of the request is repeated in a message: it may be a secret.

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
use crate::simulator::wire::exception::{Exception, Kind};

/// Reads a body.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Exception> {
    let unreadable = |why: String| Kind::Serialization.because(why);
    // The library would take an array for a struct, its items in the order of the fields.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(unreadable("The body is not a JSON object.".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.is_data() {
            true => "has a member of a wrong type",
            false => "is not JSON",
        };
        let (line, column) = (error.line(), error.column());
        unreadable(format!("The body {what} (line {line}, column {column})."))
    })
}

/// The value of a member that must be there.
pub(super) fn need<'a, T>(value: &'a Option<T>, member: &str) -> Result<&'a T, Exception> {
    value
        .as_ref()
        .ok_or_else(|| invalid(member, "Member must not be null"))
}

/// A ValidationException unless it is so.
pub(super) fn check(is_so: bool, member: &str, constraint: &str) -> Result<(), Exception> {
    match is_so {
        true => Ok(()),
        false => Err(invalid(member, constraint)),
    }
}

/// A text of so many characters of such bytes.
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

/// The ValidationException for a member that breaks a rule.
pub(super) fn invalid(member: &str, constraint: &str) -> Exception {
    let message = format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: {constraint}"
    );
    Kind::Validation.because(message)
}

/// Bytes as Base64: a plaintext, or a blob.
#[derive(Debug, Default)]
pub(super) struct Bytes(pub(super) SecretBytes);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_bytes());
        // The library's own words would quote the text.
        let bytes = bytes.map_err(|_| D::Error::custom("not Base64"))?;
        Ok(Self(SecretBytes::new(bytes)))
    }
}

/// A text that is a secret.
#[derive(Debug)]
pub(super) struct SecretText(pub(super) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Secret::new(text)))
    }
}

/// Bytes as Base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A key and its value.
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
    struct Sample {
        key_id: Option<String>,
        plaintext: Option<Bytes>,
    }

    #[test]
    fn what_is_not_the_shape_is_a_serialization_exception() {
        for bad in [
            "",
            "[]",
            "null",
            "{",
            "{\"KeyId\":7}",
            "{\"Plaintext\":\"%%\"}",
            "{\"Plaintext\":\"SeCrEt!\"}",
        ] {
            let error = parse::<Sample>(bad.as_bytes()).unwrap_err();
            assert_eq!(error.kind, Kind::Serialization, "{bad}");
            assert!(!error.message.contains("SeCrEt"));
        }
        let sample: Sample =
            parse(b" {\"KeyId\":\"k\",\"Plaintext\":\"aGk=\",\"Else\":1}").unwrap();
        assert_eq!(need(&sample.key_id, "keyId").unwrap(), "k");
        assert_eq!(sample.plaintext.unwrap().0.expose(), b"hi");
    }

    #[test]
    fn rules_are_named() {
        let missing = need::<String>(&None, "keyId").unwrap_err();
        assert_eq!(missing.kind, Kind::Validation);
        assert!(missing.message.contains("'keyId'") && missing.message.contains("not be null"));
        let legal = |b: u8| b.is_ascii_digit();
        assert!(check_text("123", 1..=3, legal, "m").is_ok());
        for bad in ["", "1234", "a"] {
            assert!(check_text(bad, 1..=3, legal, "m").is_err(), "{bad}");
        }
    }
}
