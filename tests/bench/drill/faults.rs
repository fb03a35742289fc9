//! What can befall a device.

use cryptoki_sys::{CKR_DEVICE_ERROR, CKR_GENERAL_ERROR};

use crate::control::{Control, FOREVER, Function};

/// A device that is well, µs per encryption or decryption.
const WELL: u64 = 200;

/// A hundred times slower.
const SLOW: u64 = 100 * WELL;

const CRYPTOGRAPHY: [Function; 2] = [Function::Encrypt, Function::Decrypt];

/// What a request needs of a device.
const REQUEST: [Function; 5] = [
    Function::GenerateRandom,
    Function::EncryptInit,
    Function::Encrypt,
    Function::DecryptInit,
    Function::Decrypt,
];

/// A fault, which lasts until the device is healed.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Taken away, with all of its sessions.
    Killed,
    /// No call returns.
    Hangs,
    /// A hundred times slower.
    Slow,
    /// Every operation fails with a code that says whose fault it is.
    DeviceErrors,
    /// Every operation fails with a code that says nothing.
    GeneralErrors,
}

/// A fault that is over as soon as it has happened.
#[derive(Clone, Copy, Debug)]
pub enum Mishap {
    /// All sessions are lost.
    SessionsLost,
    /// The login is lost.
    LoginLost,
    /// Every object handle is another.
    HandlesStale,
    /// The library was finalized by somebody else.
    Finalized,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Killed,
        Self::Hangs,
        Self::Slow,
        Self::DeviceErrors,
        Self::GeneralErrors,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hangs => "hangs",
            Self::Slow => "100× slower",
            Self::DeviceErrors => "CKR_DEVICE_ERROR",
            Self::GeneralErrors => "CKR_GENERAL_ERROR",
        }
    }

    /// Lets it befall a device.
    pub fn strike(self, device: &Control) {
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

impl Mishap {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::SessionsLost,
        Self::LoginLost,
        Self::HandlesStale,
        Self::Finalized,
    ];

    /// Lets it befall a device.
    pub fn strike(self, device: &Control) {
        match self {
            Self::SessionsLost => device.lose_sessions(),
            Self::LoginLost => device.lose_login(),
            Self::HandlesStale => device.stale_handles(),
            Self::Finalized => device.finalize_behind_back(),
        }
    }
}

/// Ends every fault.
pub fn heal(device: &Control) {
    device.heal();
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
