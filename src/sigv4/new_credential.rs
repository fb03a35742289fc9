//! Credentials that nobody had before.
//!
//! # Invariants
//! - Every character comes from AWS-LC's random generator, which the operating system seeds; no alphabet is unevenly used.
//! - A new credential obeys the rules of [`Credential::new`](super::Credential::new): the tests put it through them.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::AccessKeyId;
use crate::secret::Secret;

/// 24 characters of 5 bits: two credentials never get the same id by chance.
const ID_LENGTH: usize = 24;

/// 360 bits, more than the 256 of the signature's HMAC, and 60 characters of Base64 without padding.
const SECRET_BYTES: usize = 45;

/// The random generator did not answer.
#[derive(Debug, Error)]
#[error("the random generator does not work")]
pub struct NoRandomness;

/// An access key id and its secret, just made.
pub struct NewCredential {
    /// The access key id.
    pub id: AccessKeyId,
    /// The secret access key.
    pub secret: Secret,
}

impl NewCredential {
    /// A credential of fresh randomness.
    ///
    /// # Errors
    /// [`NoRandomness`] when there is none to be had.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut id = [0; ID_LENGTH];
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(&mut id).map_err(|_| NoRandomness)?;
        rand::fill(secret.as_mut_slice()).map_err(|_| NoRandomness)?;
        let text: String = id.into_iter().map(id_character).collect();
        Ok(Self {
            // The alphabet is the rule's own: this cannot fail, and if it did, nothing was made.
            id: AccessKeyId::parse(&text).map_err(|_| NoRandomness)?,
            secret: Secret::new(STANDARD.encode(secret.as_slice())),
        })
    }
}

/// The low five bits as one of the 32 characters `A-Z2-7`: 32 divides 256, so each is as likely as the others.
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
