//! The operator's view of the devices: which HSM has which key of the configuration, whether they are the same key, and how a key
//! comes to be there.
//!
//! For commands, not for the proxy that serves: it opens each HSM once, in a worker of the command, and waits for its answers.
//!
//! # Invariants
//! - Two different keys are never made under one name on the HSMs of one key store: what one encrypts, the other could not decrypt.
//! - That two HSMs hold the same key is believed when one has decrypted what the other has encrypted, not because of a label.
//! - What cannot be known (an HSM that cannot be opened) is never taken for good or for absent.

mod comparison;
mod creation;
mod encryptions;
mod error;
mod report;
mod rotation;
mod seals;
mod sharing;
mod token_report;
mod version;

use std::sync::Arc;

use crate::ekm::KeySelector;
use crate::hsm_protocol::{HsmSettings, TokenKey};
use crate::keystore::KeyStoreSettings;
use crate::token_access::{OpenToken, StartWorker, TokenError, TokenKeys};

pub use creation::{Concerned, Created};
pub use encryptions::Encryptions;
pub use error::CreationError;
pub use report::{
    Examination, HeldKey, Holding, SameKey, SealKeyReport, TokenReport, VersionReport,
};
pub use rotation::{Rotated, Rotation};
pub use seals::Seals;

/// The HSMs of a command, each opened once.
pub struct Inventory {
    devices: Vec<Device>,
}

/// One HSM, opened or not.
struct Device {
    name: Arc<str>,
    health_key: String,
    opened: Result<Opened, TokenError>,
}

struct Opened {
    token: OpenToken,
    keys: Vec<TokenKey>,
    /// Some keys cannot be read: which names they have is not known.
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

/// What an HSM has under one name.
enum Found<'a> {
    /// It could not be asked.
    Unknown(&'a TokenError),
    Absent,
    Ambiguous(usize),
    One(&'a Opened, &'a TokenKey),
}

impl Inventory {
    /// Opens each of the HSMs, in a worker of its own.
    pub fn open<'a>(
        workers: &dyn StartWorker,
        hsms: impl IntoIterator<Item = &'a HsmSettings>,
    ) -> Self {
        let devices = hsms.into_iter().map(|hsm| Device::open(workers, hsm));
        Self {
            devices: devices.collect(),
        }
    }

    /// What there is to say of each HSM, and of each key version of these stores.
    pub fn examine<'a>(
        &self,
        stores: impl IntoIterator<Item = &'a KeyStoreSettings>,
    ) -> Examination {
        let stores: Vec<_> = stores.into_iter().collect();
        let versions = version::all(&stores);
        let keys = versions.iter().map(|version| version.report(self));
        let keys = keys.collect();
        Examination {
            keys,
            // After the keys: an HSM may fail while they are tried.
            hsms: self.devices.iter().map(token_report::of).collect(),
            audit_key: None,
            faults: sharing::faults(self, &versions),
        }
    }

    /// The HSMs of these names, in this order.
    fn named<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a Device> {
        let named = |name: &'a String| self.devices.iter().find(move |d| *d.name == **name);
        names.iter().filter_map(named)
    }

    fn device(&mut self, name: &str) -> Result<&mut Device, CreationError> {
        let found = self.devices.iter_mut().find(|device| *device.name == *name);
        found.ok_or_else(|| CreationError::Failed(format!("no HSM is named {name:?}")))
    }

    /// Why not every HSM could be opened; nothing, when all are.
    fn unopened(&self) -> Vec<String> {
        let failed = |device: &Device| {
            let error = device.opened.as_ref().err()?;
            Some(format!("{} cannot be opened: {error}", device.name))
        };
        self.devices.iter().filter_map(failed).collect()
    }

    /// Reads the keys of every HSM anew.
    fn refresh(&mut self) {
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

    fn refresh(&mut self) {
        if let Ok(opened) = &mut self.opened {
            match opened.token.list_keys() {
                Ok(TokenKeys { keys, unreadable }) => {
                    (opened.keys, opened.unreadable) = (keys, unreadable);
                }
                Err(error) => self.opened = Err(error),
            }
        }
    }

    fn find(&self, selector: &KeySelector) -> Found<'_> {
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
