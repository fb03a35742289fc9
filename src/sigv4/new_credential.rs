//! Generates new random credentials.
//!
//! # Invariants
//! - Every character comes from AWS-LC's random generator, which the operating system seeds. All characters of an alphabet are equally likely.
//! - A new credential obeys the rules of [`Credential::new`](super::Credential::new); a test checks it.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::AccessKeyId;
use crate::secret::Secret;

/// The length of an id: 24 characters of 5 bits make equal ids practically impossible.
const ID_LENGTH: usize = 24;

/// The length of a secret: 360 bits, more than the 256 bits of the signature's HMAC. Its Base64 text has 60 characters and no padding.
const SECRET_BYTES: usize = 45;

/// The random generator failed.
#[derive(Debug, Error)]
#[error("the random generator does not work")]
pub struct NoRandomness;

/// A new access key id and its secret.
pub struct NewCredential {
    /// The access key id.
    pub id: AccessKeyId,
    /// The secret access key.
    pub secret: Secret,
}

impl NewCredential {
    /// Generates a credential.
    ///
    /// # Errors
    /// [`NoRandomness`] when the random generator fails.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut id = [0; ID_LENGTH];
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(&mut id).map_err(|_| NoRandomness)?;
        rand::fill(secret.as_mut_slice()).map_err(|_| NoRandomness)?;
        let text: String = id.into_iter().map(id_character).collect();
        Ok(Self {
            // `id_character` returns only characters that `parse` accepts, so this cannot fail.
            id: AccessKeyId::parse(&text).map_err(|_| NoRandomness)?,
            secret: Secret::new(STANDARD.encode(secret.as_slice())),
        })
    }
}

/// Returns one of the 32 characters `A-Z2-7` for the low five bits. 32 divides 256, so all characters are equally likely.
fn id_character(random: u8) -> char {
    match random & 0x1f {
        letter @ 0..=25 => char::from(b'A' + letter),
        digit => char::from(b'2' + (digit - 26)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::Credential;
    use std::collections::HashSet;

    #[test]
    fn new_credentials_obey_the_rules_and_differ() {
        let mut ids = HashSet::new();
        let mut secrets = HashSet::new();
        for _ in 0..500 {
            let NewCredential { id, secret } = NewCredential::generate().unwrap();
            assert_eq!((id.as_str().len(), secret.expose().len()), (24, 60));
            assert!(secrets.insert(secret.expose().to_owned()));
            assert!(ids.insert(id.as_str().to_owned()));
            Credential::new(id.as_str(), secret).unwrap();
        }
    }

    #[test]
    fn each_character_of_the_alphabet_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for random in 0..=u8::MAX {
            *counts.entry(id_character(random)).or_insert(0) += 1;
        }
        let alphabet: String = counts.keys().collect();
        assert_eq!(alphabet, "234567ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        assert!(counts.values().all(|count| *count == 8));
    }
}
