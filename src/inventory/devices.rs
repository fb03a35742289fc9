//! The HSMs of a command: opened once each, with their keys.

use std::sync::Arc;

use super::error::CreationError;
use crate::ekm::KeySelector;
use crate::hsm_protocol::{HsmSettings, TokenKey};
use crate::token_access::{OpenToken, StartWorker, TokenError, TokenKeys};

/// The HSMs of a command, each opened once.
pub struct Inventory {
    pub(super) devices: Vec<Device>,
}

/// An HSM that was opened, or the error.
pub(super) struct Device {
    pub(super) name: Arc<str>,
    pub(super) health_key: String,
    pub(super) opened: Result<Opened, TokenError>,
}

/// An open HSM with its keys.
pub(super) struct Opened {
    pub(super) token: OpenToken,
    pub(super) keys: Vec<TokenKey>,
    /// The error if some keys could not be read, so that their names are not known.
    unreadable: Option<TokenError>,
}

impl Opened {
    fn read(token: OpenToken) -> Result<Self, TokenError> {
        let TokenKeys { keys, unreadable } = token.list_keys()?;
        Ok(Self {
            token,
            keys,
            unreadable,
        })
    }
}

/// The keys of an HSM with one name.
pub(super) enum Found<'a> {
    /// The HSM could not be read.
    Unknown(&'a TokenError),
    /// No key.
    Absent,
    /// This number of keys, at least 2.
    Ambiguous(usize),
    /// One key.
    One(&'a Opened, &'a TokenKey),
}

impl Inventory {
    /// Opens each of the HSMs in its own worker.
    pub fn open<'a>(
        workers: &dyn StartWorker,
        hsms: impl IntoIterator<Item = &'a HsmSettings>,
    ) -> Self {
        let devices = hsms.into_iter().map(|hsm| Device::open(workers, hsm));
        Self {
            devices: devices.collect(),
        }
    }

    /// Returns the HSMs of these names, in this order.
    pub(super) fn named<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a Device> {
        let named = |name: &'a String| self.devices.iter().find(move |d| *d.name == **name);
        names.iter().filter_map(named)
    }

    /// Returns the HSM of this name.
    ///
    /// # Errors
    /// When no HSM has this name.
    pub(super) fn device(&mut self, name: &str) -> Result<&mut Device, CreationError> {
        let found = self.devices.iter_mut().find(|device| *device.name == *name);
        found.ok_or_else(|| CreationError::Failed(format!("no HSM is named {name:?}")))
    }

    /// Returns an error text for each HSM that could not be opened.
    pub(super) fn unopened(&self) -> Vec<String> {
        let failed = |device: &Device| {
            let error = device.opened.as_ref().err()?;
            Some(format!("{} cannot be opened: {error}", device.name))
        };
        self.devices.iter().filter_map(failed).collect()
    }

    /// Reads the keys of every HSM again.
    pub(super) fn refresh(&mut self) {
        self.devices.iter_mut().for_each(Device::refresh);
    }
}

impl Device {
    fn open(workers: &dyn StartWorker, settings: &HsmSettings) -> Self {
        let opened = OpenToken::open(workers, settings).and_then(Opened::read);
        Self {
            name: Arc::clone(&settings.name),
            health_key: settings.health_key.clone(),
            opened,
        }
    }

    /// Reads the keys again.
    pub(super) fn refresh(&mut self) {
        if let Ok(opened) = &mut self.opened {
            match opened.token.list_keys() {
                Ok(TokenKeys { keys, unreadable }) => {
                    (opened.keys, opened.unreadable) = (keys, unreadable);
                }
                Err(error) => self.opened = Err(error),
            }
        }
    }

    /// Finds the keys that the selector names.
    pub(super) fn find(&self, selector: &KeySelector) -> Found<'_> {
        let opened = match &self.opened {
            Ok(opened) => opened,
            Err(error) => return Found::Unknown(error),
        };
        let mut found = opened.keys.iter().filter(|key| key.answers_to(selector));
        match (found.next(), found.count()) {
            (None, _) => match &opened.unreadable {
                Some(error) if opened.token.may_have(selector) => Found::Unknown(error),
                _ => Found::Absent,
            },
            (Some(key), 0) => Found::One(opened, key),
            (Some(_), more) => Found::Ambiguous(more + 1),
        }
    }
}
