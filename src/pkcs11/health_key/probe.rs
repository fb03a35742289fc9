//! Chooses the GCM plan of a token: the first one that passes the check with the health key.

use std::sync::Arc;

use super::check::{Checked, Checker};
use crate::pkcs11::aes_gcm::gcm::Gcm;
use crate::pkcs11::aes_gcm::profile::Plan;
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::library::module::Module;
use crate::pkcs11::token::open_error::OpenError;
use crate::pkcs11::token::slot::TokenSlot;

/// A token with a login.
pub(in crate::pkcs11) struct Probe<'a> {
    pub module: &'a Arc<Module>,
    pub slot: TokenSlot,
    pub keys: &'a KeyTable,
}

impl Probe<'_> {
    /// Returns the first plan that passes the check with the key of this label. Each plan is probed in a new session, because a wrong plan
    /// may leave an active operation in its session.
    pub(in crate::pkcs11) fn choose(
        &self,
        plans: &[Plan],
        label: &str,
    ) -> Result<(Plan, Checked), OpenError> {
        let mut failures = Vec::new();
        for plan in plans {
            let session = self.slot.open_session(self.module)?;
            let mut gcm = Gcm::new(*plan);
            let mut checker = Checker {
                session: &session,
                gcm: &mut gcm,
            };
            match checker.probe(self.keys, label) {
                Ok(checked) => return Ok((*plan, checked)),
                // The device is lost: another plan would not help.
                Err(error) if error.is_about_the_device() => return Err(error),
                Err(error) => failures.push(format!("{plan}: {error}")),
            }
        }
        Err(OpenError::NoPlanFits(failures.join("; ")))
    }
}
