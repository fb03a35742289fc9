//! Random bytes and UUIDs.

use aws_lc_rs::rand;

use crate::simulator::wire::exception::{Exception, ExceptionKind};

/// Returns `N` random bytes.
pub(in crate::simulator) fn bytes<const N: usize>() -> Result<[u8; N], Exception> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Fills a slice with random bytes.
pub(in crate::simulator) fn fill(bytes: &mut [u8]) -> Result<(), Exception> {
    let filled = rand::fill(bytes);
    filled
        .map_err(|_| ExceptionKind::KmsInternal.with_message("The random number generator failed."))
}

/// Returns a random UUID (version 4).
pub(in crate::simulator) fn uuid() -> Result<String, Exception> {
    let mut bytes: [u8; 16] = bytes()?;
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    Ok(uuid_text(&bytes))
}

/// Returns a UUID as text.
pub(in crate::simulator) fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        crate::hex::push(&mut text, &[*byte]);
    }
    text
}

/// Parses a UUID in lower case; returns none for other text.
pub(in crate::simulator) fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let mut bytes = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (uuid_text(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_4_and_read_back() {
        for _ in 0..50 {
            let text = uuid().unwrap();
            assert_eq!((text.len(), &text[14..15]), (36, "4"), "{text}");
            assert!("89ab".contains(&text[19..20]), "{text}");
            assert_eq!(uuid_text(&uuid_bytes(&text).unwrap()), text);
        }
        for bad in [
            "",
            "x",
            "1234abcd-12ab-34cd-56ef-12345678901",
            "1234ABCD-12ab-34cd-56ef-123456789012",
        ] {
            assert!(uuid_bytes(bad).is_none(), "{bad}");
        }
    }
}
