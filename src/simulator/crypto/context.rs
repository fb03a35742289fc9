//! The encryption context of a request. It is bound to the ciphertext; the order of its pairs does not matter.

use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::xks::Aad;

/// The maximum length of an encryption context as JSON, in bytes. Every proxy must accept AAD of this length (XKS API).
const MOST: usize = 8_192;

pub(in crate::simulator) use crate::simulator::policy::Pairs;

/// An encryption context.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct EncryptionContext {
    pairs: Pairs,
    /// The pairs as JSON, sorted by key and without blanks, so that different contexts differ. Empty if there are no pairs.
    aad: Aad,
}

impl EncryptionContext {
    /// Returns the context of a request.
    pub(in crate::simulator) fn new(pairs: Option<Pairs>) -> Result<Self, Exception> {
        let pairs = pairs.unwrap_or_default();
        if pairs.is_empty() {
            return Ok(Self::default());
        }
        let text = serde_json::to_vec(&pairs).unwrap_or_default();
        let aad = Aad::new(&text).filter(|_| text.len() <= MOST);
        let aad = aad.ok_or_else(|| {
            ExceptionKind::Validation.with_message("EncryptionContext is longer than 8192 bytes.")
        })?;
        Ok(Self { pairs, aad })
    }

    /// Returns the pairs.
    pub(in crate::simulator) fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// Returns the additional authenticated data for the proxy.
    pub(in crate::simulator) fn aad(&self) -> &Aad {
        &self.aad
    }

    /// Returns the additional authenticated data for the encryption by KMS: the key and the context.
    pub(in crate::simulator) fn inner_aad(&self, key_arn: &str) -> Vec<u8> {
        [key_arn.as_bytes(), b"\n", self.aad.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> Result<EncryptionContext, Exception> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        EncryptionContext::new(Some(pairs.collect()))
    }

    #[test]
    fn only_contexts_with_the_same_pairs_have_the_same_aad() {
        let aad = |pairs: &[(&str, &str)]| context(pairs).unwrap().aad().as_bytes().to_vec();
        assert_eq!(
            aad(&[("b", "2"), ("a", "1")]),
            aad(&[("a", "1"), ("b", "2")])
        );
        assert_eq!(aad(&[("b", "2"), ("a", "1")]), b"{\"a\":\"1\",\"b\":\"2\"}");
        assert_ne!(
            aad(&[("a", "1\",\"b\":\"2")]),
            aad(&[("a", "1"), ("b", "2")])
        );
        assert_eq!(aad(&[]), b"");
        assert!(
            EncryptionContext::new(None)
                .unwrap()
                .aad()
                .as_bytes()
                .is_empty()
        );
    }

    #[test]
    fn long_contexts_are_rejected() {
        let fits = "v".repeat(MOST - "{\"k\":\"\"}".len());
        assert!(context(&[("k", &fits)]).is_ok());
        let error = context(&[("k", &format!("{fits}v"))]).unwrap_err();
        assert_eq!(error.kind, ExceptionKind::Validation);
    }
}
