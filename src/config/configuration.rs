//! The configuration as a whole.

use std::time::Duration;

use crate::admin::AdminSettings;
use crate::audit::AuditSettings;
use crate::connections::Exempt;
use crate::hsm::HsmSettings;
use crate::keystore::KeyStoreSettings;
use crate::logging::LogSettings;
use crate::policy::Policy;
use crate::server::{Sample, ServerSettings};
use crate::toml_file::Finding;

/// The settings of a proxy.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// `[server]`.
    pub server: ServerSettings,
    /// `[admin]`, if present.
    pub admin: Option<AdminSettings>,
    /// `[log]`, except for the sample.
    pub log: LogSettings,
    /// `log.sample_successes`: which successful requests are logged.
    pub access_log_sample: Sample,
    /// `[audit]`, if present.
    pub audit: Option<AuditSettings>,
    /// `[policy]`, if present.
    pub policy: Option<Policy>,
    /// `[[hsm]]`.
    pub hsms: Vec<HsmSettings>,
    /// `[failover]`: how long a job may take before the proxy sends a hedged request to another HSM.
    pub hedge_delay: Duration,
    /// `[[key_store]]`.
    pub key_stores: Vec<KeyStoreSettings>,
}

impl Configuration {
    /// Returns whether a listener for KMS requires PROXY headers, and so receives VPC endpoint ids.
    pub fn receives_vpc_endpoints(&self) -> bool {
        let mut listeners = self.server.listen.iter();
        listeners.any(|listener| listener.requires_header)
    }

    /// Returns the sources that have no limit per source.
    pub fn exempt_sources(&self) -> Exempt {
        let stores = self.key_stores.iter();
        let listed = stores.flat_map(|store| &store.vpc_endpoints.allowed);
        Exempt {
            shared_sources: self.server.shared_sources.clone(),
            vpc_endpoints: listed.copied().collect(),
        }
    }
}

/// A configuration with its warnings.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub configuration: Configuration,
    /// For example a secret in the configuration itself.
    pub warnings: Vec<Finding>,
}
