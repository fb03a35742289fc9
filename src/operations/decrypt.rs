//! Decrypt (XKS API, "Decrypt").
//!
//! # Invariants
//! - A ciphertext is tried in our framing first. The framing of AWS's sample proxy is tried only for a key store that allows it, and only
//!   after ours has not authenticated.
//! - In such a key store one ciphertext does not decrypt under two different AADs, as far as the two framings can be told apart. Our
//!   ciphertexts always have metadata of ours; without these, our framing is not tried. The sample proxy's framing is not tried when its bytes
//!   are also those of a ciphertext that this proxy can have made under the same key.

use std::sync::Arc;

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

/// Decrypts under the key version that the ciphertext's metadata names. The metadata is not trusted: it is bound to the
/// ciphertext by the framing, so that a changed version does not authenticate.
///
/// # Errors
/// The [`Fault`] to answer: InvalidState, KeyNotFound, InvalidCiphertext, InvalidKeyUsage, Throttling, DependencyTimeout or
/// Internal.
pub async fn decrypt(
    call: Call<'_>,
    request: DecryptRequest,
) -> Result<Answer<DecryptResponse>, Fault> {
    let key = call.enabled_key()?;
    let work = Work::new(&call, &request);
    let (plaintext, cost) = work.open(key).await?;
    let value = DecryptResponse { plaintext };
    Ok(Answer { value, cost })
}

/// What does not change from one try to the next.
struct Work<'a> {
    call: &'a Call<'a>,
    request: &'a DecryptRequest,
    ciphertext_and_tag: Arc<[u8]>,
}

type Outcome = Result<(SecretBytes, Cost), Fault>;

impl<'a> Work<'a> {
    fn new(call: &'a Call<'a>, request: &'a DecryptRequest) -> Self {
        let joined = [&request.ciphertext[..], request.tag.as_bytes()].concat();
        Self {
            call,
            request,
            ciphertext_and_tag: joined.into(),
        }
    }

    async fn open(&self, key: &Key) -> Outcome {
        let metadata = &self.request.ciphertext_metadata;
        let number = metadata.key_version();
        let legacy = self.call.store.legacy.is_some();
        let first = key.version(KeyVersion::FIRST).filter(|_| legacy);
        let version = key
            .version(number)
            .filter(|_| !legacy || metadata.named_version().is_some());
        let theirs = first.and_then(|first| Some((first, self.theirs(key, first)?)));
        match (version, theirs) {
            // Mostly one key for both forms: one job, which costs a device no more than the calls themselves.
            (Some(version), Some((first, theirs))) if version.number == first.number => {
                self.run(version, self.ours(), Some(theirs)).await
            }
            (Some(version), Some((first, theirs))) => {
                match self.run(version, self.ours(), None).await {
                    // A device that fails at the second try may not make the ciphertext a bad one.
                    Err(fault) if fault.kind == FaultKind::CiphertextInvalid => {
                        self.run_legacy(first, theirs).await
                    }
                    outcome => outcome,
                }
            }
            (Some(version), None) => self.run(version, self.ours(), None).await,
            (None, Some((first, theirs))) => self.run_legacy(first, theirs).await,
            (None, None) => Err(unknown(number)),
        }
    }

    /// What our ciphertexts are bound to.
    fn ours(&self) -> Vec<u8> {
        let aad = self.request.aad.clone().unwrap_or_default();
        framed_aad(&aad, &self.request.ciphertext_metadata)
    }

    /// What the ciphertexts of AWS's sample proxy are bound to; none if it could be a ciphertext of ours under another AAD. Their metadata,
    /// if there is any, is a constant of that proxy's configuration: it says nothing of versions, even where it looks like ours.
    fn theirs(&self, key: &Key, first: &Version) -> Option<Vec<u8>> {
        let request = self.request;
        let framed = aws_samples_framed_aad(request.aad.as_ref(), &request.ciphertext_metadata);
        let ours = version_of_framing(&framed).and_then(|number| key.version(number));
        let can_be_ours = ours.is_some_and(|version| version.selector == first.selector);
        (!can_be_ours).then_some(framed)
    }

    async fn run_legacy(&self, first: &Version, theirs: Vec<u8>) -> Outcome {
        let (plaintext, cost) = self.run(first, theirs, None).await?;
        Ok((plaintext, self.counted(cost)))
    }

    /// Notes that the ciphertext was one of AWS's sample proxy.
    fn counted(&self, cost: Cost) -> Cost {
        if let Some(counter) = &self.call.store.legacy {
            counter.inc();
        }
        let is_legacy = true;
        Cost { is_legacy, ..cost }
    }

    async fn run(&self, version: &Version, aad: Vec<u8>, or_aad: Option<Vec<u8>>) -> Outcome {
        let job = DecryptJob {
            tenant: Arc::clone(&self.call.store.tenant),
            key: Arc::clone(&version.selector),
            iv: self.request.iv.as_bytes().to_vec(),
            ciphertext_and_tag: Arc::clone(&self.ciphertext_and_tag),
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
            true => Ok((opened.plaintext, self.counted(cost))),
            false => Ok((opened.plaintext, cost)),
        }
    }
}

fn unknown(number: KeyVersion) -> Fault {
    let reason = format!(
        "no known version of the key can have made the ciphertext (version {})",
        number.0
    );
    Fault::because(FaultKind::CiphertextInvalid, reason)
}
