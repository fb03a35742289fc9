//! Encrypt (XKS API, "Encrypt"), with the ciphertext data integrity value in the order that the specification demands:
//! (1) encrypt, (2) compute the CDIV, (3) decrypt what will be sent and compare, (4) answer.

use std::sync::Arc;

use super::faults::fault_of;
use super::{Answer, Call, Cost};
use crate::ekm::{DecryptJob, EncryptJob, Sealed};
use crate::keystore::Version;
use crate::secret::{SecretBytes, constant_time_eq};
use crate::xks::{
    CiphertextMetadata, EncryptRequest, EncryptResponse, Fault, FaultKind, GcmTag,
    InitializationVector, SealedBytes, framed_aad, integrity_value,
};

/// How often a ciphertext that does not decrypt to its plaintext is made anew before the request fails. One: a device
/// that errs twice in a row is not one to trust with data.
const SECOND_TRIES: u32 = 1;

/// Encrypts under the key's primary version.
///
/// # Errors
/// The [`Fault`] to answer: InvalidState, KeyNotFound, InvalidKeyUsage, Throttling, DependencyTimeout or Internal.
pub async fn encrypt(
    call: Call<'_>,
    request: EncryptRequest,
) -> Result<Answer<EncryptResponse>, Fault> {
    let key = call.enabled_key()?;
    let version = &key.primary;
    let metadata = CiphertextMetadata::of_version(version.number);
    let work = Work {
        version,
        aad: framed_aad(&request.aad, &metadata).into(),
        call: &call,
        request: &request,
        plaintext: Arc::new(request.plaintext.clone()),
    };
    let mut cost = Cost::of_version(version.number);
    let (sealed, integrity_value) = match request.wants_integrity_value {
        false => (work.seal(&mut cost).await?, None),
        true => {
            let (sealed, value) = work.seal_verified(&metadata, &mut cost).await?;
            (sealed, Some(value))
        }
    };
    let value = EncryptResponse {
        sealed,
        ciphertext_metadata: metadata,
        integrity_value,
    };
    Ok(Answer { value, cost })
}

/// What does not change from one try to the next.
struct Work<'a> {
    version: &'a Version,
    aad: Arc<[u8]>,
    call: &'a Call<'a>,
    request: &'a EncryptRequest,
    plaintext: Arc<SecretBytes>,
}

impl Work<'_> {
    async fn seal(&self, cost: &mut Cost) -> Result<SealedBytes, Fault> {
        let job = EncryptJob {
            tenant: Arc::clone(&self.call.store.tenant),
            key: Arc::clone(&self.version.selector),
            plaintext: Arc::clone(&self.plaintext),
            aad: Arc::clone(&self.aad),
            must_decrypt: self.request.wants_integrity_value,
            deadline: self.call.deadline,
            calls: self.call.calls.clone(),
            encryptions: self.version.encryption_count(),
        };
        let sealed = self.call.store.fleet.encrypt(job).await.map_err(fault_of)?;
        checked(cost.add(sealed), self.request.plaintext.len())
    }

    async fn seal_verified(
        &self,
        metadata: &CiphertextMetadata,
        cost: &mut Cost,
    ) -> Result<(SealedBytes, [u8; 32]), Fault> {
        for _ in 0..=SECOND_TRIES {
            let sealed = self.seal(cost).await?;
            let SealedBytes {
                ciphertext,
                iv,
                tag,
            } = &sealed;
            let value = integrity_value(&self.request.aad, metadata, iv, ciphertext, tag);
            if self.decrypts_back(&sealed, cost).await? {
                return Ok((sealed, value));
            }
            tracing::error!(
                hsm = cost.device.as_deref(),
                "the HSM made a ciphertext that does not decrypt to its plaintext; it was not sent"
            );
        }
        let reason = "the HSM keeps making ciphertexts that do not decrypt";
        Err(Fault::because(FaultKind::DeviceFailed, reason))
    }

    /// Whether the device gives the plaintext back for the buffers that are about to be sent.
    async fn decrypts_back(&self, sealed: &SealedBytes, cost: &mut Cost) -> Result<bool, Fault> {
        let job = DecryptJob {
            tenant: Arc::clone(&self.call.store.tenant),
            key: Arc::clone(&self.version.selector),
            iv: sealed.iv.as_bytes().to_vec(),
            ciphertext_and_tag: [&sealed.ciphertext[..], sealed.tag.as_bytes()]
                .concat()
                .into(),
            aad: Arc::clone(&self.aad),
            or_aad: None,
            deadline: self.call.deadline,
            calls: self.call.calls.clone(),
            encryptions: self.version.encryption_count(),
        };
        let opened = self.call.store.fleet.decrypt(job).await.map_err(fault_of);
        match opened {
            Ok(opened) => {
                let plaintext = cost.add(opened).plaintext;
                Ok(constant_time_eq(
                    plaintext.expose(),
                    self.request.plaintext.expose(),
                ))
            }
            // The caller sent no ciphertext: one that does not authenticate is the device's doing.
            Err(fault) if fault.kind == FaultKind::CiphertextInvalid => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

/// The device's lengths are checked before anything leaves: a wrong one is the device's fault.
fn checked(sealed: Sealed, plaintext_length: usize) -> Result<SealedBytes, Fault> {
    let wrong = |what| Fault::because(FaultKind::DeviceFailed, what);
    if sealed.ciphertext.len() != plaintext_length {
        return Err(wrong("the HSM's ciphertext has not the plaintext's length"));
    }
    Ok(SealedBytes {
        ciphertext: sealed.ciphertext,
        iv: InitializationVector::new(&sealed.iv)
            .ok_or_else(|| wrong("the HSM's IV is not 12 or 16 bytes"))?,
        tag: GcmTag::new(&sealed.tag).ok_or_else(|| wrong("the HSM's tag is not 16 bytes"))?,
    })
}
