//! Decrypt (XKS API, "Decrypt").
//!
//! # Invariants
//! - A ciphertext is decrypted with this proxy's framing first. The framing of AWS's sample proxy is used only for a key store that allows it, and only
//!   after the ciphertext did not authenticate with this proxy's framing.
//! - In such a key store, one ciphertext does not decrypt with two different AADs, as far as the framings can be distinguished. This proxy's ciphertexts
//!   always have its metadata; without such metadata, this proxy's framing is not used. The sample proxy's framing is not used if its bytes could also be
//!   the framing of a ciphertext that this proxy encrypted with the same key.

use std::sync::Arc;

use bytes::Bytes;

use super::call::Call;
use super::cost::{Answer, Cost};
use super::faults::fault_of;
use crate::ekm::DecryptJob;
use crate::keystore::{Key, Version};
use crate::secret::SecretBytes;
use crate::xks::{
    DecryptRequest, DecryptResponse, Fault, FaultKind, KeyVersion, aws_samples_framed_aad,
    framed_aad, version_of_framing,
};

/// Decrypts with the key version in the ciphertext's metadata. The framing binds the metadata to the ciphertext, so a ciphertext with a changed version does
/// not authenticate.
///
/// # Errors
/// A [`Fault`] with the name InvalidState, KeyNotFound, InvalidCiphertext, InvalidKeyUsage, Throttling, DependencyTimeout or Internal.
pub async fn decrypt(
    call: Call<'_>,
    request: DecryptRequest,
) -> Result<Answer<DecryptResponse>, Fault> {
    let key = call.enabled_key()?;
    let decryption = Decryption::new(&call, request);
    let (plaintext, cost) = decryption.run(key).await?;
    let value = DecryptResponse { plaintext };
    Ok(Answer { value, cost })
}

/// The decryption of one request, with one or two attempts.
struct Decryption<'a> {
    call: &'a Call<'a>,
    request: DecryptRequest,
    ciphertext_and_tag: Bytes,
}

type Decrypted = Result<(SecretBytes, Cost), Fault>;

impl<'a> Decryption<'a> {
    fn new(call: &'a Call<'a>, mut request: DecryptRequest) -> Self {
        Self {
            call,
            ciphertext_and_tag: std::mem::take(&mut request.ciphertext_and_tag).into(),
            request,
        }
    }

    async fn run(&self, key: &Key) -> Decrypted {
        let metadata = &self.request.ciphertext_metadata;
        let number = metadata.key_version();
        let allows_legacy = self.call.store.legacy.is_some();
        let first = key.version(KeyVersion::FIRST).filter(|_| allows_legacy);
        let version = key
            .version(number)
            .filter(|_| !allows_legacy || metadata.named_version().is_some());
        let legacy = first.and_then(|first| Some((first, self.legacy_framing(key, first)?)));
        match (version, legacy) {
            // Usually both framings use one key. Then one job makes both attempts, without a second pass through the queue.
            (Some(version), Some((first, legacy_aad))) if version.number == first.number => {
                self.attempt(version, self.framing(), Some(legacy_aad))
                    .await
            }
            (Some(version), Some((first, legacy_aad))) => {
                match self.attempt(version, self.framing(), None).await {
                    // An error of the HSM in the second attempt is reported as such, not as an invalid ciphertext.
                    Err(fault) if fault.kind == FaultKind::CiphertextInvalid => {
                        self.attempt_legacy(first, legacy_aad).await
                    }
                    outcome => outcome,
                }
            }
            (Some(version), None) => self.attempt(version, self.framing(), None).await,
            (None, Some((first, legacy_aad))) => self.attempt_legacy(first, legacy_aad).await,
            (None, None) => Err(unknown(number)),
        }
    }

    /// Returns the AAD for the HSM in this proxy's framing.
    fn framing(&self) -> Vec<u8> {
        let aad = self.request.aad.clone().unwrap_or_default();
        framed_aad(aad, &self.request.ciphertext_metadata)
    }

    /// Returns the AAD for the HSM in the framing of AWS's sample proxy; `None` if it could also be this proxy's framing of another AAD. The metadata of the
    /// sample proxy is a constant in its configuration. It contains no key version, even if it looks like this proxy's metadata.
    fn legacy_framing(&self, key: &Key, first: &Version) -> Option<Vec<u8>> {
        let request = &self.request;
        let framed = aws_samples_framed_aad(request.aad.as_ref(), &request.ciphertext_metadata);
        let version = version_of_framing(&framed).and_then(|number| key.version(number));
        let is_ambiguous = version.is_some_and(|version| version.selector == first.selector);
        (!is_ambiguous).then_some(framed)
    }

    async fn attempt_legacy(&self, first: &Version, aad: Vec<u8>) -> Decrypted {
        let (plaintext, cost) = self.attempt(first, aad, None).await?;
        Ok((plaintext, self.count_legacy(cost)))
    }

    /// Counts a ciphertext of AWS's sample proxy.
    fn count_legacy(&self, cost: Cost) -> Cost {
        if let Some(counter) = &self.call.store.legacy {
            counter.inc();
        }
        let is_legacy = true;
        Cost { is_legacy, ..cost }
    }

    /// Decrypts with `aad`, and if that does not authenticate, with `or_aad`.
    async fn attempt(&self, version: &Version, aad: Vec<u8>, or_aad: Option<Vec<u8>>) -> Decrypted {
        let job = DecryptJob {
            tenant: Arc::clone(&self.call.store.tenant),
            key: Arc::clone(&version.selector),
            iv: self.request.iv,
            ciphertext_and_tag: self.ciphertext_and_tag.clone(),
            aad: aad.into(),
            or_aad: or_aad.map(Into::into),
            deadline: self.call.deadline,
            calls: self.call.calls.clone(),
            encryptions: version.encryption_count(),
        };
        let mut cost = Cost::of_version(version.number);
        let served = self.call.store.fleet.decrypt(job).await;
        let opened = cost.add(served.map_err(fault_of)?);
        match opened.by_or_aad {
            true => Ok((opened.plaintext, self.count_legacy(cost))),
            false => Ok((opened.plaintext, cost)),
        }
    }
}

fn unknown(number: KeyVersion) -> Fault {
    let reason = format!(
        "no version of the key can have encrypted the ciphertext (version {})",
        number.0
    );
    Fault::because(FaultKind::CiphertextInvalid, reason)
}
