//! What an operator's command does on a token: lists its keys, makes one, finds out whether two tokens hold the same one, checks what
//! the token has sealed.
//!
//! For processes that do one thing and end: it calls the device and waits. The proxy that serves never comes here.
//!
//! # Invariants
//! - A PIN that a token refuses is tried once, however many `[[hsm]]` mean this token.
//! - No key is changed or deleted, and none is made where its label or its id is taken.
//! - What is encrypted here is a constant that everybody knows.

mod inspection;
mod keygen;
mod proof;

use std::sync::Arc;

use cryptoki::context::Function;
use thiserror::Error as ThisError;

use super::codes;
use super::errors::Error;
use super::ffi::Session;
use super::health::Checked;
use super::keys::KeyTable;
use super::module::{Module, Modules, OpenDevice};
use super::probe::Probe;
use super::profile::{self, Plan};
use super::settings::HsmSettings;
use super::slot::TokenSlot;
use super::token::{self, GcmMechanisms, OpenError, TokenIdentity};

pub use inspection::{KeyProtection, TokenKey, TokenKeys};
pub use keygen::{CreateKeyError, NewKey};

/// Why a token cannot be administered, in words for an operator.
#[derive(Clone, Debug, ThisError)]
#[error("{0}")]
pub struct AdministrationError(String);

impl From<OpenError> for AdministrationError {
    fn from(error: OpenError) -> Self {
        Self(match error {
            OpenError::PinRefused(code) => {
                let code = codes::in_words(code, Function::Login);
                format!("the token refuses the PIN: {code}; it was tried once")
            }
            other => other.to_string(),
        })
    }
}

impl From<Error> for AdministrationError {
    fn from(error: Error) -> Self {
        OpenError::from(error).into()
    }
}

/// The libraries and the tokens of one command. Drop it after the tokens that it has opened: it finalizes the libraries.
#[derive(Default)]
pub struct Administration {
    modules: Modules,
    refused: Vec<TokenIdentity>,
}

impl Administration {
    /// Finds the token, checks that it has AES-GCM, logs in, and probes how it does AES-GCM.
    ///
    /// # Errors
    /// In words for an operator.
    pub fn open(&mut self, settings: &HsmSettings) -> Result<OpenToken, AdministrationError> {
        let parameters = settings.parameters.as_ref();
        let module = self.modules.open(&settings.module, parameters);
        let module = module.map_err(OpenError::from)?;
        let (mut slot, identity) = token::find(&module, &settings.token)?;
        if self.refused.contains(&identity) {
            let reason = "the token has refused a PIN already; another one is not tried";
            return Err(AdministrationError(reason.to_owned()));
        }
        // Before the PIN: a token that cannot serve does not get it.
        let mechanisms = token::gcm_mechanisms(&module, slot, &identity)?;
        let pin = settings.pin.as_ref();
        token::check_pin(&identity, pin)?;
        let open = module.device_opened();
        let session = slot.open_first_session(&module)?;
        if let Err(error) = token::log_in(&session, pin) {
            if error.is_final() {
                self.refused.push(identity);
            }
            return Err(error.into());
        }
        let mut token = OpenToken {
            settings: settings.clone(),
            module,
            slot,
            identity,
            mechanisms,
            plan: None,
            gcm: GcmFinding::Unusable(String::new()),
            session,
            _open: open,
        };
        token.probe_with(&settings.health_key)?;
        Ok(token)
    }
}

impl Drop for Administration {
    fn drop(&mut self) {
        self.modules.finalize();
    }
}

/// How a token does AES-GCM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GcmFinding {
    /// This way, as the check with a key has shown.
    Proved(String),
    /// Perhaps this way; why that is not known.
    Unproved(String, String),
    /// In no way that works.
    Unusable(String),
}

/// A token with its user logged in.
pub struct OpenToken {
    settings: HsmSettings,
    module: Arc<Module>,
    slot: TokenSlot,
    identity: TokenIdentity,
    mechanisms: GcmMechanisms,
    plan: Option<Plan>,
    gcm: GcmFinding,
    // Dropped in this order: the session, which holds the login, before the device counts as closed.
    session: Session,
    _open: OpenDevice,
}

impl OpenToken {
    /// What it says of itself: maker, product and serial number.
    pub fn describe(&self) -> String {
        let TokenIdentity {
            vendor,
            model,
            serial,
            ..
        } = &self.identity;
        format!("{vendor}, {model}, serial {serial}")
    }

    /// How it does AES-GCM.
    pub fn gcm(&self) -> &GcmFinding {
        &self.gcm
    }

    /// Finds the way that passes the check with the key of this label. Only the loss of the device is an error.
    fn probe_with(&mut self, label: &str) -> Result<(), AdministrationError> {
        let outcome = self.chosen(label);
        (self.plan, self.gcm) = match outcome {
            Ok((plan, Checked::Works(_))) => (Some(plan), GcmFinding::Proved(plan.to_string())),
            Ok((plan, Checked::KeyUnfit(why))) => {
                (Some(plan), GcmFinding::Unproved(plan.to_string(), why))
            }
            Err(error) if error.is_about_the_device() => return Err(error.into()),
            Err(error) => (None, GcmFinding::Unusable(error.to_string())),
        };
        Ok(())
    }

    fn chosen(&self, label: &str) -> Result<(Plan, Checked), OpenError> {
        let keys = KeyTable::sweep(&self.session)?;
        let probe = Probe {
            module: &self.module,
            slot: self.slot,
            keys: &keys,
        };
        let profile = self.settings.gcm_profile;
        let plans = profile::candidates(profile, &self.identity, &self.mechanisms);
        probe.choose(&plans, label)
    }
}
