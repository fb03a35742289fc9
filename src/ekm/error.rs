//! Errors of a key manager: what failed, where the cause is, and whether a retry can help.

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;

/// Where the cause of an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request of the client.
    Caller,
    /// The configuration, or the keys on the HSM.
    Operator,
    /// The HSM, or the connection to it.
    Device,
    /// Overload.
    Load,
}

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum KeyManagerFault {
    /// Ciphertext, tag, IV or AAD are not those of the encryption.
    #[error("the ciphertext does not authenticate")]
    CiphertextInvalid,
    /// The HSM has no such key.
    #[error("the key is not on the device")]
    KeyAbsent,
    /// The HSM has more than one such key.
    #[error("more than one key on the device answers to this name")]
    KeyAmbiguous,
    /// The key's attributes forbid the operation.
    #[error("the key's attributes do not allow this")]
    UsageNotPermitted,
    /// The key is not an AES-256 key.
    #[error("the key is not an AES-256 key")]
    KeyUnsuitable,
    /// The HSM works, but fails every operation with this key.
    #[error("the HSM rejects this key")]
    KeyFailed,
    /// The key does not work on the HSM, although another key does.
    #[error("the key does not work on the device")]
    KeyBlocked,
    /// The HSM does not accept input of this length.
    #[error("the input is longer than the device takes")]
    InputTooLong,
    /// The queue of jobs is full.
    #[error("the device's queue is full")]
    QueueFull,
    /// The deadline passed before the answer arrived.
    #[error("the deadline passed")]
    DeadlinePassed,
    /// The HSM is known to be unusable, so it did not get the job.
    #[error("the device is not usable")]
    DeviceUnavailable,
    /// The HSM failed at this job.
    #[error("the device failed")]
    DeviceFailed,
}

impl KeyManagerFault {
    /// All kinds, for tables and tests.
    pub const ALL: [Self; 12] = [
        Self::CiphertextInvalid,
        Self::KeyAbsent,
        Self::KeyAmbiguous,
        Self::UsageNotPermitted,
        Self::KeyUnsuitable,
        Self::KeyFailed,
        Self::KeyBlocked,
        Self::InputTooLong,
        Self::QueueFull,
        Self::DeadlinePassed,
        Self::DeviceUnavailable,
        Self::DeviceFailed,
    ];

    /// Returns where the cause is.
    pub fn blame(self) -> Blame {
        match self {
            Self::CiphertextInvalid | Self::InputTooLong => Blame::Caller,
            Self::KeyAbsent
            | Self::KeyAmbiguous
            | Self::UsageNotPermitted
            | Self::KeyUnsuitable
            | Self::KeyFailed
            | Self::KeyBlocked => Blame::Operator,
            Self::QueueFull | Self::DeadlinePassed => Blame::Load,
            Self::DeviceUnavailable | Self::DeviceFailed => Blame::Device,
        }
    }

    /// Returns whether the same job may succeed on another HSM or later.
    pub fn is_retryable(self) -> bool {
        // A key may fail on one HSM only, or for a short time.
        matches!(self.blame(), Blame::Load | Blame::Device) || self == Self::KeyFailed
    }
}

/// An error with its HSM and a detail for the operator. The detail never contains a key value, plaintext, IV or PIN.
#[derive(Clone, Debug, Error)]
#[error("{device}: {fault}: {detail}")]
pub struct KeyManagerError {
    /// The kind of the error.
    pub fault: KeyManagerFault,
    /// The name of the HSM.
    pub device: Arc<str>,
    /// The reason in terms of the HSM, such as a `CKR_` name.
    pub detail: Cow<'static, str>,
}

impl KeyManagerError {
    /// Creates the error.
    pub fn new(
        fault: KeyManagerFault,
        device: &Arc<str>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            fault,
            device: Arc::clone(device),
            detail: detail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_load_device_and_key_failures_may_succeed_later() {
        let retryable: Vec<_> = KeyManagerFault::ALL
            .into_iter()
            .filter(|f| f.is_retryable())
            .collect();
        assert_eq!(
            retryable,
            [
                KeyManagerFault::KeyFailed,
                KeyManagerFault::QueueFull,
                KeyManagerFault::DeadlinePassed,
                KeyManagerFault::DeviceUnavailable,
                KeyManagerFault::DeviceFailed
            ]
        );
    }
}
