//! Encrypt (XKS API, "Encrypt"). With a ciphertext data integrity value (CDIV), the order is that of the specification: (1) encrypt, (2) compute the CDIV,
//! (3) decrypt the result and compare, (4) respond. The worker does the first three in one job.

use std::sync::Arc;

use super::call::Call;
use super::cost::{Answer, Cost};
use super::faults::fault_of;
use crate::ekm::{Digest, EncryptJob, Encrypted};
use crate::xks::{
    CiphertextMetadata, EncryptRequest, EncryptResponse, EncryptedBytes, Fault, FaultKind,
    framed_aad, integrity_prefix,
};

/// Encrypts with the key's primary version.
///
/// # Errors
/// A [`Fault`] with the name InvalidState, KeyNotFound, InvalidKeyUsage, Throttling, DependencyTimeout or Internal.
pub async fn encrypt(
    call: Call<'_>,
    request: EncryptRequest,
) -> Result<Answer<EncryptResponse>, Fault> {
    let key = call.enabled_key()?;
    let version = &key.primary;
    let metadata = CiphertextMetadata::of_version(version.number);
    let wants_integrity_value = request.wants_integrity_value;
    let digest = wants_integrity_value
        .then(|| Digest::new(integrity_prefix(&request.aad, &metadata).into()));
    let plaintext_length = request.plaintext.len();
    let job = EncryptJob {
        tenant: Arc::clone(&call.store.tenant),
        key: Arc::clone(&version.selector),
        plaintext: Arc::new(request.plaintext),
        aad: framed_aad(request.aad, &metadata).into(),
        must_decrypt: wants_integrity_value,
        digest,
        deadline: call.deadline,
        calls: call.calls.clone(),
        encryptions: version.encryption_count(),
    };
    let served = call.store.fleet.encrypt(job).await.map_err(fault_of)?;
    let mut cost = Cost::of_version(version.number);
    let encrypted = cost.add(served);
    let integrity_value = encrypted.digest;
    if integrity_value.is_some() != wants_integrity_value {
        let reason = "the HSM's ciphertext was not verified";
        return Err(Fault::because(FaultKind::DeviceFailed, reason));
    }
    let value = EncryptResponse {
        encrypted: checked(encrypted, plaintext_length)?,
        ciphertext_metadata: metadata,
        integrity_value,
    };
    Ok(Answer { value, cost })
}

/// Checks the lengths that the HSM returned. A wrong length is an error of the HSM.
fn checked(encrypted: Encrypted, plaintext_length: usize) -> Result<EncryptedBytes, Fault> {
    let wrong = |problem| Fault::because(FaultKind::DeviceFailed, problem);
    if encrypted.ciphertext.len() != plaintext_length {
        return Err(wrong(
            "the HSM's ciphertext is not as long as the plaintext",
        ));
    }
    Ok(EncryptedBytes {
        ciphertext: encrypted.ciphertext,
        iv: encrypted.iv,
        tag: encrypted.tag.into(),
    })
}
