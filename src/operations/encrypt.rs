//! Encrypt (XKS API, "Encrypt"), with the ciphertext data integrity value (CDIV) in the order that the specification demands:
//! (1) encrypt, (2) compute the CDIV, (3) decrypt what will be sent and compare, (4) answer. The device does the first three in one job.

use std::sync::Arc;

use super::call::Call;
use super::cost::{Answer, Cost};
use super::faults::fault_of;
use crate::ekm::{Digest, EncryptJob, Sealed};
use crate::xks::{
    CiphertextMetadata, EncryptRequest, EncryptResponse, Fault, FaultKind, GcmTag,
    InitializationVector, SealedBytes, framed_aad, integrity_prefix,
};

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
    let wants_integrity_value = request.wants_integrity_value;
    let plaintext_length = request.plaintext.len();
    let job = EncryptJob {
        tenant: Arc::clone(&call.store.tenant),
        key: Arc::clone(&version.selector),
        plaintext: Arc::new(request.plaintext),
        aad: framed_aad(&request.aad, &metadata).into(),
        must_decrypt: wants_integrity_value,
        digest: wants_integrity_value
            .then(|| Digest::new(integrity_prefix(&request.aad, &metadata).into())),
        deadline: call.deadline,
        calls: call.calls.clone(),
        encryptions: version.encryption_count(),
    };
    let served = call.store.fleet.encrypt(job).await.map_err(fault_of)?;
    let mut cost = Cost::of_version(version.number);
    let made = cost.add(served);
    let integrity_value = made.digest;
    if integrity_value.is_some() != wants_integrity_value {
        let reason = "the HSM's ciphertext was not verified";
        return Err(Fault::because(FaultKind::DeviceFailed, reason));
    }
    let value = EncryptResponse {
        sealed: checked(made, plaintext_length)?,
        ciphertext_metadata: metadata,
        integrity_value,
    };
    Ok(Answer { value, cost })
}

/// The device's lengths are checked before anything leaves: a wrong one is the device's fault.
fn checked(made: Sealed, plaintext_length: usize) -> Result<SealedBytes, Fault> {
    let wrong = |what| Fault::because(FaultKind::DeviceFailed, what);
    if made.ciphertext.len() != plaintext_length {
        return Err(wrong("the HSM's ciphertext has not the plaintext's length"));
    }
    Ok(SealedBytes {
        ciphertext: made.ciphertext,
        iv: InitializationVector::from_vec(made.iv)
            .ok_or_else(|| wrong("the HSM's IV is not 12 or 16 bytes"))?,
        tag: GcmTag::new(&made.tag).ok_or_else(|| wrong("the HSM's tag is not 16 bytes"))?,
    })
}
