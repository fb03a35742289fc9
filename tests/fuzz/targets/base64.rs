//! A binary field of a request body: accepted if and only if a second decoder, which is in this file, reads it as canonical Base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use xks_proxy::xks::{EncryptRequest, FaultKind};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let body = json!({
        "requestMetadata": {"awsPrincipalArn": "p", "kmsOperation": "Encrypt", "kmsRequestId": "r", "kmsKeyArn": "k"},
        "plaintext": text,
        "encryptionAlgorithm": "AES_GCM",
    });
    let parsed = EncryptRequest::parse(body.to_string().as_bytes());
    match (parsed, decoded(data)) {
        (Ok(request), Some(expected)) => {
            assert_eq!(request.plaintext.expose(), expected);
            assert_eq!(STANDARD.encode(expected), text);
        }
        (Err(fault), None) => assert_eq!(fault.kind, FaultKind::FieldInvalid("plaintext")),
        (parsed, expected) => panic!("{:?}, expected {expected:?}", parsed.map(drop)),
    }
}

/// RFC 4648 section 4: groups of four, padding only at the end, no stray bits.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut decoded = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in &text[..text.len() - padding] {
        bits = bits << 6 | u32::from(value(*byte)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(decoded)
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
