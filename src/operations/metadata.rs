//! GetKeyMetadata (XKS API, "GetKeyMetadata"): returns the attributes of the key in the HSM.

use std::sync::Arc;

use super::call::Call;
use super::cost::{Answer, Cost};
use super::faults::fault_of;
use crate::ekm::{DescribeJob, KeyAttributes, KeyKind, KeyUsageFlags};
use crate::keystore::{Key, State};
use crate::xks::{Fault, KeyMetadataResponse, KeySpec, KeyStatus, KeyUsage};

/// Describes the key's primary version. A disabled key, or a key of a disabled key store, has the status DISABLED.
///
/// # Errors
/// A [`Fault`] with the name KeyNotFound, InvalidState (for an ambiguous key), Throttling, DependencyTimeout or Internal.
pub async fn key_metadata(call: Call<'_>) -> Result<Answer<KeyMetadataResponse>, Fault> {
    let key = call.authorized_key()?;
    let job = DescribeJob {
        tenant: Arc::clone(&call.store.tenant),
        key: Arc::clone(&key.primary.selector),
        deadline: call.deadline,
        calls: call.calls.clone(),
    };
    let mut cost = Cost::of_version(key.primary.number);
    let described = call.store.fleet.describe(job).await;
    let attributes = cost.add(described.map_err(fault_of)?);
    let value = response(attributes, status(&call, key));
    Ok(Answer { value, cost })
}

fn status(call: &Call<'_>, key: &Key) -> KeyStatus {
    match (call.store.state, key.state) {
        (State::Enabled, State::Enabled) => KeyStatus::Enabled,
        (State::Disabled, _) | (_, State::Disabled) => KeyStatus::Disabled,
    }
}

fn response(attributes: KeyAttributes, key_status: KeyStatus) -> KeyMetadataResponse {
    KeyMetadataResponse {
        key_spec: match attributes.kind {
            KeyKind::Aes(bits) => KeySpec::Aes(bits),
            KeyKind::Other(name) => KeySpec::Other(name),
        },
        key_usage: usages(attributes.usage),
        key_status,
    }
}

fn usages(flags: KeyUsageFlags) -> Vec<KeyUsage> {
    [
        (flags.encrypt, KeyUsage::Encrypt),
        (flags.decrypt, KeyUsage::Decrypt),
        (flags.sign, KeyUsage::Sign),
        (flags.verify, KeyUsage::Verify),
        (flags.wrap, KeyUsage::Wrap),
        (flags.unwrap, KeyUsage::Unwrap),
        (flags.derive, KeyUsage::Derive),
    ]
    .into_iter()
    .filter_map(|(allowed, usage)| allowed.then_some(usage))
    .collect()
}
