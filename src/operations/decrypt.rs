//! Decrypt (XKS API, "Decrypt").
//!
//! # Invariants
//! - A ciphertext is tried in our framing first. The framing of AWS's sample proxy is tried only for a key store that allows it, and only
//!   after ours has not authenticated.

use std::sync::Arc;

use super::faults::fault_of;
use super::{Answer, Call, Cost};
use crate::ekm::DecryptJob;
use crate::keystore::{Key, Version};
use crate::secret::SecretBytes;
use crate::xks::{
    DecryptRequest, DecryptResponse, Fault, FaultKind, KeyVersion, aws_samples_framed_aad,
    framed_aad,
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
    let sealed = Work::new(&call, &request);
    let answer = |(plaintext, cost)| Answer {
        value: DecryptResponse { plaintext },
        cost,
    };
    match sealed.open_ours(key).await {
        Err(fault) if fault.kind == FaultKind::CiphertextInvalid => {
            sealed.open_legacy(key, fault).await.map(answer)
        }
        outcome => outcome.map(answer),
    }
}

/// What does not change from one try to the next.
struct Work<'a> {
    call: &'a Call<'a>,
    request: &'a DecryptRequest,
    ciphertext_and_tag: Arc<[u8]>,
}

type Opened = Result<(SecretBytes, Cost), Fault>;

impl<'a> Work<'a> {
    fn new(call: &'a Call<'a>, request: &'a DecryptRequest) -> Self {
        let joined = [&request.ciphertext[..], request.tag.as_bytes()].concat();
        Self {
            call,
            request,
            ciphertext_and_tag: joined.into(),
        }
    }

    /// As what this proxy has made.
    async fn open_ours(&self, key: &Key) -> Opened {
        let metadata = &self.request.ciphertext_metadata;
        let number = metadata.key_version();
        let version = key.version(number).ok_or_else(|| unknown(number))?;
        let aad = self.request.aad.clone().unwrap_or_default();
        self.open(version, framed_aad(&aad, metadata)).await
    }

    /// As what AWS's sample proxy has made, if the store allows that; else the fault that there already is. Its metadata, if there is
    /// any, is a constant of that proxy's configuration: it says nothing of versions, even where it looks like ours.
    async fn open_legacy(&self, key: &Key, fault: Fault) -> Opened {
        let (Some(counter), Some(version)) =
            (&self.call.store.legacy, key.version(KeyVersion::FIRST))
        else {
            return Err(fault);
        };
        let (aad, metadata) = (&self.request.aad, &self.request.ciphertext_metadata);
        let framed = aws_samples_framed_aad(aad.as_ref(), metadata);
        match self.open(version, framed).await {
            Ok((plaintext, mut cost)) => {
                counter.inc();
                cost.is_legacy = true;
                Ok((plaintext, cost))
            }
            Err(again) if again.kind == FaultKind::CiphertextInvalid => Err(fault),
            Err(other) => Err(other),
        }
    }

    async fn open(&self, version: &Version, aad: Vec<u8>) -> Opened {
        let job = DecryptJob {
            tenant: Arc::clone(&self.call.store.tenant),
            key: Arc::clone(&version.selector),
            iv: self.request.iv.as_bytes().to_vec(),
            ciphertext_and_tag: Arc::clone(&self.ciphertext_and_tag),
            aad: aad.into(),
            deadline: self.call.deadline,
        };
        let mut cost = Cost::of_version(version.number);
        let served = self.call.store.fleet.decrypt(job).await;
        Ok((cost.add(served.map_err(fault_of)?), cost))
    }
}

fn unknown(number: KeyVersion) -> Fault {
    let reason = format!(
        "the ciphertext names key version {}, which is unknown",
        number.0
    );
    Fault::because(FaultKind::CiphertextInvalid, reason)
}
