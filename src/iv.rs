//! The initialization vector (IV) of AES-GCM.

use std::fmt;

/// The longest IV, in bytes.
pub const MAX_IV: usize = 16;

/// An IV: 12 or 16 bytes. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Iv {
    /// Zeros follow the bytes of a shorter IV.
    bytes: [u8; MAX_IV],
    length: u8,
}

impl Iv {
    /// A constant IV, for decryptions of which only the error matters.
    pub const ANY: Self = Self {
        bytes: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
        length: 12,
    };

    /// Copies the bytes; `None` if they are not 12 or 16.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if !matches!(bytes.len(), 12 | MAX_IV) {
            return None;
        }
        let mut padded = [0; MAX_IV];
        padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self {
            bytes: padded,
            length: u8::try_from(bytes.len()).ok()?,
        })
    }

    /// Returns the 12 or 16 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

impl fmt::Debug for Iv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iv(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iv_has_12_or_16_bytes() {
        for length in 0..=32 {
            let bytes = vec![7; length];
            let iv = Iv::new(&bytes);
            let expected = matches!(length, 12 | 16).then_some(&*bytes);
            assert_eq!(iv.as_ref().map(Iv::as_bytes), expected);
        }
    }

    #[test]
    fn an_iv_differs_from_a_longer_one_with_zeros_behind_it() {
        let longer = [&[7; 12][..], &[0; 4]].concat();
        assert_ne!(Iv::new(&[7; 12]), Iv::new(&longer));
    }

    #[test]
    fn debug_hides_the_iv() {
        assert_eq!(format!("{:?}", Iv::new(&[0xab; 12]).unwrap()), "Iv(…)");
    }
}
