//! The encryption context: in one form, so that the order of its pairs does not matter, and bound to every ciphertext.

use crate::simulator::wire::exception::{Exception, Kind};
use crate::xks::Aad;

/// The longest encryption context, as JSON; the XKS API wants no proxy to refuse AAD of that length.
const MOST: usize = 8_192;

pub(in crate::simulator) use crate::simulator::policy::Pairs;

/// An encryption context.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct Context {
    pairs: Pairs,
    /// JSON, sorted by key, without blanks: no two contexts have the same. Empty when there are no pairs.
    aad: Aad,
}

impl Context {
    /// The context of a request, if it is not too long.
    pub(in crate::simulator) fn new(pairs: Option<Pairs>) -> Result<Self, Exception> {
        let pairs = pairs.unwrap_or_default();
        if pairs.is_empty() {
            return Ok(Self::default());
        }
        let text = serde_json::to_vec(&pairs).unwrap_or_default();
        let aad = Aad::new(&text).filter(|_| text.len() <= MOST);
        let aad = aad.ok_or_else(|| {
            Kind::Validation.because("EncryptionContext is longer than 8192 bytes.")
        })?;
        Ok(Self { pairs, aad })
    }

    /// The pairs.
    pub(in crate::simulator) fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// What the proxy binds to the ciphertext.
    pub(in crate::simulator) fn aad(&self) -> &Aad {
        &self.aad
    }

    /// What KMS's own encryption is bound to: key and context.
    pub(in crate::simulator) fn inner_aad(&self, key_arn: &str) -> Vec<u8> {
        [key_arn.as_bytes(), b"\n", self.aad.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> Result<Context, Exception> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Context::new(Some(pairs.collect()))
    }

    #[test]
    fn the_order_does_not_matter_and_nothing_else_is_the_same() {
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
        assert!(Context::new(None).unwrap().aad().as_bytes().is_empty());
    }

    #[test]
    fn it_has_an_end() {
        let fits = "v".repeat(MOST - "{\"k\":\"\"}".len());
        assert!(context(&[("k", &fits)]).is_ok());
        let error = context(&[("k", &format!("{fits}v"))]).unwrap_err();
        assert_eq!(error.kind, Kind::Validation);
    }
}
