//! Which of the possible ways to do AES-GCM a token has: the first one that passes the check with a key of its own.

use std::sync::Arc;

use super::check::{Checked, Checker};
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::aes_gcm::profile::Plan;
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::library::module::Module;
use crate::pkcs11::token::open_error::OpenError;
use crate::pkcs11::token::slot::TokenSlot;

/// A token that somebody has logged in to.
pub(in crate::pkcs11) struct Probe<'a> {
    pub module: &'a Arc<Module>,
    pub slot: TokenSlot,
    pub keys: &'a KeyTable,
}

impl Probe<'_> {
    /// The first plan that passes the check with the key of this label. Each is probed in a session of its own: a plan that
    /// does not fit may leave an operation behind in it.
    pub(in crate::pkcs11) fn choose(
        &self,
        plans: &[Plan],
        label: &str,
    ) -> Result<(Plan, Checked), OpenError> {
        let mut refusals = Vec::new();
        for plan in plans {
            let session = self.slot.open_session(self.module)?;
            let mut gcm = Gcm::new(*plan);
            let mut checker = Checker {
                session: &session,
                gcm: &mut gcm,
            };
            match checker.probe(self.keys, label) {
                Ok(checked) => return Ok((*plan, checked)),
                // The device itself is gone: another plan would not help.
                Err(error) if error.is_about_the_device() => return Err(error),
                Err(error) => refusals.push(format!("{plan}: {error}")),
            }
        }
        Err(OpenError::NoPlanFits(refusals.join("; ")))
    }
}
