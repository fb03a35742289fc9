//! The examination of HSMs and keys: which HSM has which key version, and which errors there are.

use super::devices::Inventory;
use super::report::Examination;
use super::{sharing, token_report, version};
use crate::keystore::KeyStoreSettings;

impl Inventory {
    /// Examines each HSM, and each key version of these stores.
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
            // After the keys, because an HSM may fail while its keys are tried.
            hsms: self.devices.iter().map(token_report::of).collect(),
            audit_key: None,
            faults: sharing::faults(self, &versions),
        }
    }
}
