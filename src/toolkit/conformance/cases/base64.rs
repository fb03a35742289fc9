//! Section 5: Base64 is standard, padded and canonical in every binary field.
//!
//! Each field is replaced by 16 bytes of 0xfb, whose Base64 text can have every error. The proxy must reject the text before it decrypts.

use super::super::body::{Op, base64, set};
use super::super::case::{Case, must};
use super::super::check;

const FIELDS: [(Op, &str); 7] = [
    (Op::Encrypt, "plaintext"),
    (Op::Encrypt, "additionalAuthenticatedData"),
    (Op::Decrypt, "ciphertext"),
    (Op::Decrypt, "initializationVector"),
    (Op::Decrypt, "authenticationTag"),
    (Op::Decrypt, "additionalAuthenticatedData"),
    (Op::Decrypt, "ciphertextMetadata"),
];

type Spoil = fn(&str) -> String;

/// The errors in a text whose correct form is `…+w==`.
const WRONG: [(&str, Spoil); 7] = [
    ("url-safe", |text| text.replace('+', "-").replace('/', "_")),
    ("unpadded", |text| text.trim_end_matches('=').to_owned()),
    ("overpadded", |text| format!("{text}=")),
    ("not-canonical", |text| text.replace("w==", "x==")),
    ("blank", |text| text.replacen("+", " +", 1)),
    ("line-break", |text| format!("{text}\n")),
    ("foreign-character", |text| text.replacen("+", "*", 1)),
];

pub(super) fn cases() -> Vec<Case> {
    let of_field =
        |&(op, field): &(Op, &'static str)| WRONG.map(|(how, spoil)| case(op, field, how, spoil));
    FIELDS.iter().flat_map(of_field).collect()
}

fn case(op: Op, field: &'static str, how: &str, spoil: Spoil) -> Case {
    let name = op.name();
    must(
        "5",
        format!("base64-{name}-{field}-{how}"),
        format!("{name} with {field} in Base64 that is {how}"),
        "400 ValidationException",
        move |scene| {
            let mut body = scene.good_body(op)?;
            set(&mut body, field, spoil(&base64([0xfb; 16])));
            scene.refused(op, scene.key(), &body, check::VALIDATION)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;

    #[test]
    fn each_wrong_text_is_wrong() {
        let right = base64([0xfb; 16]);
        for (how, spoil) in WRONG {
            assert_ne!(spoil(&right), right, "{how}");
            assert!(STANDARD.decode(spoil(&right)).is_err(), "{how}");
        }
    }
}
