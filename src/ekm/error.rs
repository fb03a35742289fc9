//! How a key manager fails: whose fault, and whether another try can help.

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// What was sent.
    Caller,
    /// What is configured, or which keys the device holds.
    Operator,
    /// The device or the way to it.
    Device,
    /// Nobody's: there is more work than time.
    Load,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum KeyManagerFault {
    /// Ciphertext, tag, IV or AAD are not what was encrypted.
    #[error("the ciphertext does not authenticate")]
    CiphertextInvalid,
    /// The device has no such key.
    #[error("the key is not on the device")]
    KeyAbsent,
    /// The device has more than one such key.
    #[error("more than one key on the device answers to this name")]
    KeyAmbiguous,
    /// The key's attributes forbid the operation.
    #[error("the key's attributes do not allow this")]
    UsageNotPermitted,
    /// The key is not an AES-256 key.
    #[error("the key is not an AES-256 key")]
    KeyUnsuitable,
    /// The device works, but it fails all that is asked of it with this key.
    #[error("the HSM rejects this key")]
    KeyFailed,
    /// The key does not work on the device, though another key does.
    #[error("the key does not work on the device")]
    KeyBlocked,
    /// The device takes no input of this length.
    #[error("the input is longer than the device takes")]
    InputTooLong,
    /// More jobs wait than can be done.
    #[error("the device's queue is full")]
    QueueFull,
    /// It was too late before the answer was there.
    #[error("the deadline passed")]
    DeadlinePassed,
    /// The device is known to be unusable; it was not even asked.
    #[error("the device is not usable")]
    DeviceUnavailable,
    /// The device failed at this job.
    #[error("the device failed")]
    DeviceFailed,
}

impl KeyManagerFault {
    /// Every fault, for tables and tests.
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

    /// Whose fault it is.
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

    /// Whether the same job may succeed on another device or a little later.
    pub fn is_retryable(self) -> bool {
        // A key may fail on one device only, and some devices fail a key for a moment.
        matches!(self.blame(), Blame::Load | Blame::Device) || self == Self::KeyFailed
    }
}

/// A fault with the device it happened on and a detail for the operator (never a key value, plaintext, IV or PIN).
#[derive(Clone, Debug, Error)]
#[error("{device}: {fault}: {detail}")]
pub struct KeyManagerError {
    /// What went wrong.
    pub fault: KeyManagerFault,
    /// Where.
    pub device: Arc<str>,
    /// In the device's terms, such as a `CKR_` name.
    pub detail: Cow<'static, str>,
}

impl KeyManagerError {
    /// The error.
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
