//! Hexadecimal text: the only encoder and decoder of the project.
//!
//! Encoders write lower-case digits. There are two decoders: formats whose text is authenticated have one valid text for each value, so they
//! accept lower case only.

/// Returns the digits of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push(&mut text, bytes);
    text
}

/// Appends the digits of `bytes`.
pub fn push(text: &mut String, bytes: &[u8]) {
    text.extend(bytes.iter().flat_map(|byte| pair(*byte)).map(char::from));
}

/// Appends the digits of `bytes` as ASCII.
pub fn push_ascii(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().flat_map(|byte| pair(*byte)));
}

/// Decodes digits in upper or lower case. Returns none for any other text, also for an odd number of digits.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    decode_pairs(text, decode_pair)
}

/// Decodes one byte from two digits in upper or lower case.
pub fn decode_pair(high: u8, low: u8) -> Option<u8> {
    decode_lower_pair(high.to_ascii_lowercase(), low.to_ascii_lowercase())
}

/// Decodes lower-case digits. Returns none for any other text, also for an odd number of digits.
pub fn decode_lower(text: &str) -> Option<Vec<u8>> {
    decode_pairs(text, decode_lower_pair)
}

/// Decodes exactly `N` bytes from lower-case digits. Returns none for any other text.
pub fn decode_lower_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = decode_lower_pair(*high, *low)?;
    }
    Some(bytes)
}

fn pair(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

fn decode_pairs(text: &str, decode: impl Fn(u8, u8) -> Option<u8>) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| decode(*high, *low))
        .collect()
}

fn decode_lower_pair(high: u8, low: u8) -> Option<u8> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    Some(nibble(high)? << 4 | nibble(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_decoded_to_itself() {
        let all: Vec<u8> = (0..=255).collect();
        let text = encode(&all);
        assert!(text.starts_with("000102") && text.ends_with("fdfeff"));
        assert_eq!(decode_lower(&text).unwrap(), all);
        assert_eq!(decode(&text.to_uppercase()).unwrap(), all);
        assert_eq!(decode_lower_array(&text), all.as_array::<256>().copied());
        let mut ascii = Vec::new();
        push_ascii(&mut ascii, &all);
        assert_eq!(ascii, text.as_bytes());
    }

    #[test]
    fn other_text_is_rejected() {
        for text in ["0", "0g", "+1", " 1", "é", "00 "] {
            assert_eq!(decode(text), None, "{text}");
            assert_eq!(decode_lower(text), None, "{text}");
        }
        assert_eq!(decode_lower("0A"), None, "upper case");
        assert_eq!(decode_lower_array::<2>("00"), None, "too short");
        assert_eq!(decode_lower_array::<2>("000000"), None, "too long");
        assert_eq!(decode_pair(b'0', b'G'), None);
        assert_eq!(decode(""), Some(Vec::new()));
    }
}
