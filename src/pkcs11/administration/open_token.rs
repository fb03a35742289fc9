//! Opens a token for operator commands: loads the library, logs in and probes AES-GCM.

use std::sync::Arc;

use cryptoki::context::Function;
use thiserror::Error as ThisError;

use crate::hsm_protocol::{GcmFinding, Pkcs11Settings};
use crate::pkcs11::aes_gcm::mechanisms::{GcmMechanisms, gcm_mechanisms};
use crate::pkcs11::aes_gcm::profile::{self, Plan};
use crate::pkcs11::health_key::check::Checked;
use crate::pkcs11::health_key::probe::Probe;
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::library::codes;
use crate::pkcs11::library::errors::Error;
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::library::module::Module;
use crate::pkcs11::token::find::find_token;
use crate::pkcs11::token::login::{check_pin, log_in};
use crate::pkcs11::token::login_record::LoginRecord;
use crate::pkcs11::token::open_error::OpenError;
use crate::pkcs11::token::slot::TokenIdentity;
use crate::pkcs11::token::slot::TokenSlot;
use crate::secret::Secret;

/// Why a command fails on a token. The text is for operators.
#[derive(Clone, Debug, ThisError)]
#[error("{0}")]
pub struct AdministrationError(pub(super) String);

impl From<OpenError> for AdministrationError {
    fn from(error: OpenError) -> Self {
        Self(match error {
            OpenError::PinRejected(code) => {
                let code = codes::describe(code, Function::Login);
                format!("the token rejected the PIN: {code}; it was tried once")
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

/// An open token with a login.
pub struct OpenToken {
    pub(super) settings: Pkcs11Settings,
    pub(super) module: Arc<Module>,
    pub(super) slot: TokenSlot,
    pub(super) identity: TokenIdentity,
    pub(super) mechanisms: GcmMechanisms,
    pub(super) plan: Option<Plan>,
    pub(super) gcm: GcmFinding,
    pub(super) session: Session,
}

impl OpenToken {
    /// Finds the token, checks that it has AES-GCM, logs in, and probes the GCM plans.
    ///
    /// # Errors
    /// When one of these steps fails. A token on which no GCM plan works is not an error: see [`OpenToken::gcm`].
    pub fn open(
        settings: Pkcs11Settings,
        pin: Option<Secret>,
        logins: &dyn LoginRecord,
    ) -> Result<Self, AdministrationError> {
        let module = Module::load(&settings.module, settings.parameters.clone());
        let module = Arc::new(module.map_err(OpenError::from)?);
        let (mut slot, identity) = find_token(&module, &settings.token)?;
        // Before the login: a token without AES-GCM must not receive the PIN.
        let mechanisms = gcm_mechanisms(&module, slot, &identity)?;
        let pin = pin.as_ref();
        check_pin(&identity, pin)?;
        let session = slot.open_first_session(&module)?;
        log_in(&session, &identity, pin, logins)?;
        let health_key = settings.health_key.clone();
        let mut token = Self {
            settings,
            module,
            slot,
            identity,
            mechanisms,
            plan: None,
            gcm: GcmFinding::Unusable(String::new()),
            session,
        };
        token.probe_with(&health_key)?;
        Ok(token)
    }

    /// Closes the session and finalizes the library.
    pub fn close(self) {
        let Self {
            module, session, ..
        } = self;
        drop(session);
        module.finalize();
    }

    /// Returns manufacturer, product and serial number.
    pub fn describe(&self) -> String {
        let TokenIdentity {
            vendor,
            model,
            serial,
            ..
        } = &self.identity;
        format!("{vendor}, {model}, serial {serial}")
    }

    /// The result of the probe for AES-GCM.
    pub fn gcm(&self) -> &GcmFinding {
        &self.gcm
    }

    /// Probes the GCM plans with the key of this label. Fails only if the device is lost.
    pub(super) fn probe_with(&mut self, label: &str) -> Result<(), AdministrationError> {
        let outcome = self.choose_plan(label);
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

    fn choose_plan(&self, label: &str) -> Result<(Plan, Checked), OpenError> {
        let keys = KeyTable::read_all(&self.session)?;
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
