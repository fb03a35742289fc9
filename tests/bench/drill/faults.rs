//! Failures of a device.

use cryptoki_sys::{CKR_DEVICE_ERROR, CKR_GENERAL_ERROR};

use crate::control::{Control, FOREVER, Function};

/// The µs per encryption or decryption of a device without a failure.
const WELL: u64 = 200;

/// A hundred times slower.
const SLOW: u64 = 100 * WELL;

const CRYPTOGRAPHY: [Function; 2] = [Function::Encrypt, Function::Decrypt];

/// The functions of a device that a request needs.
const REQUEST: [Function; 5] = [
    Function::GenerateRandom,
    Function::EncryptInit,
    Function::Encrypt,
    Function::DecryptInit,
    Function::Decrypt,
];

/// A failure that lasts until it is ended.
#[derive(Clone, Copy, Debug)]
pub enum DeviceFailure {
    /// The device is removed, with all of its sessions.
    Killed,
    /// No call returns.
    Hangs,
    /// A hundred times slower.
    Slow,
    /// Every operation fails with a code that blames the device.
    DeviceErrors,
    /// Every operation fails with a generic code.
    GeneralErrors,
}

/// A failure that is over at once.
#[derive(Clone, Copy, Debug)]
pub enum ShortFailure {
    /// All sessions are lost.
    SessionsLost,
    /// The login is lost.
    LoginLost,
    /// Every object handle changes.
    HandlesStale,
    /// Another component has finalized the library.
    Finalized,
}

impl DeviceFailure {
    /// All failures.
    pub const ALL: [Self; 5] = [
        Self::Killed,
        Self::Hangs,
        Self::Slow,
        Self::DeviceErrors,
        Self::GeneralErrors,
    ];

    /// Returns the name of the failure.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hangs => "hangs",
            Self::Slow => "100× slower",
            Self::DeviceErrors => "CKR_DEVICE_ERROR",
            Self::GeneralErrors => "CKR_GENERAL_ERROR",
        }
    }

    /// Starts the failure of a device.
    pub fn inject(self, device: &Control) {
        match self {
            Self::Killed => device.set_removed(true),
            Self::Hangs => Function::ALL
                .iter()
                .for_each(|function| device.hang(*function, true)),
            Self::Slow => set_speed(device, SLOW),
            Self::DeviceErrors => fail(device, CKR_DEVICE_ERROR),
            Self::GeneralErrors => fail(device, CKR_GENERAL_ERROR),
        }
    }
}

impl ShortFailure {
    /// All short failures.
    pub const ALL: [Self; 4] = [
        Self::SessionsLost,
        Self::LoginLost,
        Self::HandlesStale,
        Self::Finalized,
    ];

    /// Makes the failure happen once.
    pub fn inject(self, device: &Control) {
        match self {
            Self::SessionsLost => device.lose_sessions(),
            Self::LoginLost => device.lose_login(),
            Self::HandlesStale => device.stale_handles(),
            Self::Finalized => device.finalize_behind_back(),
        }
    }
}

/// Ends every failure.
pub fn recover(device: &Control) {
    device.clear_faults();
    set_speed(device, WELL);
}

fn set_speed(device: &Control, micros: u64) {
    for function in CRYPTOGRAPHY {
        device.set_delay(function, micros);
    }
}

fn fail(device: &Control, code: u64) {
    for function in REQUEST {
        device.fail_next(function, code, FOREVER);
    }
}
