//! The AES-GCM mechanisms of a token.

use cryptoki_sys::CKM_AES_GCM;

use super::call::VENDOR_PREPENDED_GCM;
use crate::pkcs11::library::module::Module;
use crate::pkcs11::token::open_error::OpenError;
use crate::pkcs11::token::slot::{TokenIdentity, TokenSlot};

/// The AES-GCM mechanisms of a token.
#[derive(Clone, Copy, Debug)]
pub(in crate::pkcs11) struct GcmMechanisms {
    /// `CKM_AES_GCM`.
    pub standard: bool,
    /// `CKM_CLOUDHSM_AES_GCM`.
    pub vendor_prepended: bool,
}

/// Reads the AES-GCM mechanisms of the token. Fails if it has none.
pub(in crate::pkcs11) fn gcm_mechanisms(
    module: &Module,
    slot: TokenSlot,
    identity: &TokenIdentity,
) -> Result<GcmMechanisms, OpenError> {
    let known = module.functions.mechanisms(slot.id)?;
    let mechanisms = GcmMechanisms {
        standard: known.contains(&CKM_AES_GCM),
        vendor_prepended: known.contains(&VENDOR_PREPENDED_GCM),
    };
    match mechanisms.standard || mechanisms.vendor_prepended {
        true => Ok(mechanisms),
        false => Err(OpenError::NoAesGcm(format!(
            "{}, {}",
            identity.vendor, identity.model
        ))),
    }
}
