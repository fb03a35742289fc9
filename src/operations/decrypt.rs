//! Decrypt (XKS API, "Decrypt").

use std::sync::Arc;

use super::faults::fault_of;
use super::{Answer, Call, Cost};
use crate::ekm::DecryptJob;
use crate::xks::{DecryptRequest, DecryptResponse, Fault, FaultKind, framed_aad};

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
    let number = request.ciphertext_metadata.key_version();
    let version = key.version(number).ok_or_else(|| {
        let reason = format!(
            "the ciphertext names key version {}, which is unknown",
            number.0
        );
        Fault::because(FaultKind::CiphertextInvalid, reason)
    })?;
    let mut ciphertext_and_tag = request.ciphertext;
    ciphertext_and_tag.extend_from_slice(request.tag.as_bytes());
    let job = DecryptJob {
        key: Arc::clone(&version.selector),
        iv: request.iv.as_bytes().to_vec(),
        ciphertext_and_tag: ciphertext_and_tag.into(),
        aad: framed_aad(&request.aad, &request.ciphertext_metadata).into(),
        deadline: call.deadline,
    };
    let mut cost = Cost::default();
    let plaintext = cost.add(call.store.fleet.decrypt(job).await.map_err(fault_of)?);
    let value = DecryptResponse { plaintext };
    Ok(Answer { value, cost })
}
