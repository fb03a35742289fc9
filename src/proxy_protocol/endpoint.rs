//! The id of a VPC endpoint.

use std::fmt;

const PREFIX: &[u8] = b"vpce-";

/// The number of characters after the prefix.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=32;

/// The longest id, in bytes.
const MAX: usize = 37;

/// The id of a VPC endpoint, `vpce-[0-9a-z]{8,32}`. It is stored inline: copying it allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VpcEndpointId {
    /// Zeros follow the id.
    bytes: [u8; MAX],
    length: u8,
}

impl VpcEndpointId {
    /// Parses an id; `None` if it does not have this form.
    pub fn parse(id: &[u8]) -> Option<Self> {
        let characters = id.strip_prefix(PREFIX)?;
        let is_legal = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
        if !LENGTHS.contains(&characters.len()) || !characters.iter().all(is_legal) {
            return None;
        }
        let mut bytes = [0; MAX];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        let length = u8::try_from(id.len()).ok()?;
        Some(Self { bytes, length })
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length));
        // `parse` has checked that it is ASCII.
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }
}

impl fmt::Display for VpcEndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for VpcEndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_ids_are_parsed() {
        let longest = format!("vpce-{}", "z".repeat(32));
        for right in ["vpce-0123456789abcdef0", "vpce-1a2b3c4d", &longest] {
            assert_eq!(
                VpcEndpointId::parse(right.as_bytes()).unwrap().as_str(),
                right
            );
        }
        for wrong in [
            "",
            "vpce-",
            "vpce-1234567",
            "vpce-1234567A",
            "vpce-1234-678",
            "vpce-svc-12345678",
            "VPCE-12345678",
            " vpce-12345678",
            "vpce-12345678\0",
            "vpce-1234567é",
            &format!("{longest}z"),
        ] {
            assert_eq!(VpcEndpointId::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
