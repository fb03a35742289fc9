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

type Damage = fn(&str) -> String;

/// The errors in a text whose correct form is `…+w==`.
const WRONG: [(&str, Damage); 7] = [
    ("url-safe", |text| text.replace('+', "-").replace('/', "_")),
    ("unpadded", |text| text.trim_end_matches('=').to_owned()),
    ("overpadded", |text| format!("{text}=")),
    ("not-canonical", |text| text.replace("w==", "x==")),
    ("blank", |text| text.replacen("+", " +", 1)),
    ("line-break", |text| format!("{text}\n")),
    ("foreign-character", |text| text.replacen("+", "*", 1)),
];

pub(super) fn cases() -> Vec<Case> {
    let field_cases =
        |&(op, field): &(Op, &'static str)| WRONG.map(|(how, damage)| case(op, field, how, damage));
    FIELDS.iter().flat_map(field_cases).collect()
}

fn case(op: Op, field: &'static str, how: &str, damage: Damage) -> Case {
    let name = op.name();
    must(
        "5",
        format!("base64-{name}-{field}-{how}"),
        format!("{name} with {field} in Base64 that is {how}"),
        "400 ValidationException",
        move |context| {
            let mut body = context.good_body(op)?;
            set(&mut body, field, damage(&base64([0xfb; 16])));
            context.rejected(op, context.key(), &body, check::VALIDATION)
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
        let correct = base64([0xfb; 16]);
        for (how, damage) in WRONG {
            assert_ne!(damage(&correct), correct, "{how}");
            assert!(STANDARD.decode(damage(&correct)).is_err(), "{how}");
        }
    }
}
