//! Publishes the result of a proof, for requests and for the operator.

use crate::ekm::{ExpectedKey, KeyAttributes, KeyKind};
use crate::pkcs11::key_proofs::proof::Outcome;
use crate::pkcs11::keys::object_identity::KeyObject;
use crate::pkcs11::keys::table::KeyEntry;
use crate::pkcs11::worker_state::WorkerState;

/// Publishes the result, and logs problems that the operator should know about.
pub(in crate::pkcs11) fn publish_outcome(
    worker: &WorkerState,
    key: &ExpectedKey,
    entry: &KeyEntry,
    object: KeyObject,
    outcome: Outcome,
) {
    let (hsm, selector, memory) = (&worker.settings.name, &*key.selector, &worker.memory);
    if let Some(why) = object.exposure
        && memory.may_log_once(format!("exposed {}", object.identity))
    {
        tracing::warn!(%hsm, key = %selector, why, "the value of the key can leave the HSM");
    }
    if let Some(reason) = missing_requirement(&entry.attributes, key.encrypts)
        && memory.may_log_once(format!("lacks {}", object.identity))
    {
        tracing::warn!(%hsm, key = %selector, reason, "the key cannot do what KMS needs");
    }
    let rejection = match outcome {
        Outcome::Rejected(rejection) => Some(rejection),
        Outcome::Proved => {
            worker.note_proof(memory.prove(&object.identity), true);
            None
        }
        Outcome::Unfit | Outcome::Unknown(_) | Outcome::DeviceFails => None,
    };
    let reason = rejection.as_ref().map(|rejection| rejection.reason.clone());
    if !worker.rejections.set(selector, rejection) {
        return;
    }
    match reason {
        Some(reason) if memory.may_log() => {
            tracing::warn!(%hsm, key = %selector, reason, "the key cannot do what KMS needs");
        }
        Some(_) => {}
        None => tracing::info!(%hsm, key = %selector, "the key works again"),
    }
}

/// Describes a requirement of the configuration that the attributes of the key do not meet.
fn missing_requirement(attributes: &KeyAttributes, encrypts: bool) -> Option<String> {
    let KeyAttributes { kind, usage } = attributes;
    match kind {
        KeyKind::Aes(256) => {}
        KeyKind::Aes(bits) => return Some(format!("it is AES-{bits}, not AES-256")),
        KeyKind::Other(name) => return Some(format!("it is {name}, not AES-256")),
    }
    match (usage.encrypt || !encrypts, usage.decrypt) {
        (true, true) => None,
        (false, true) => Some("it may not encrypt (CKA_ENCRYPT)".to_owned()),
        (true, false) => Some("it may not decrypt (CKA_DECRYPT)".to_owned()),
        (false, false) => {
            Some("it may neither encrypt nor decrypt (CKA_ENCRYPT, CKA_DECRYPT)".to_owned())
        }
    }
}
