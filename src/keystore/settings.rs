//! The settings of a key store. They contain the names of its HSMs, not the HSMs.

use std::sync::Arc;

use super::vpc_endpoints::VpcEndpoints;
use crate::ekm::KeySelector;
use crate::sigv4::Credentials;
use crate::xks::{ExternalKeyId, KeyVersion, PathPrefix};

/// One `[[key_store]]` table.
#[derive(Clone, Debug)]
pub struct KeyStoreSettings {
    /// Its name in logs and metrics.
    pub name: String,
    /// Its URI path prefix.
    pub prefix: PathPrefix,
    /// The AWS Region of its KMS.
    pub region: String,
    /// Enabled or disabled by the operator.
    pub state: State,
    /// The credentials that may sign requests.
    pub credentials: Credentials,
    /// Its keys.
    pub keys: Vec<KeySettings>,
    /// The names of the HSMs, in order of preference.
    pub hsms: Vec<String>,
    /// Its quota of requests; none if unlimited.
    pub quota: Option<QuotaSettings>,
    /// Its weight in the queue of an overloaded HSM; at least 1.
    pub share: u32,
    /// True if ciphertexts of AWS's sample proxy ("aws-samples-v3") are also decrypted.
    pub decrypts_aws_samples: bool,
    /// The VPC endpoints through which it may be called.
    pub vpc_endpoints: VpcEndpoints,
}

/// The state of a key store or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It may be used.
    Enabled,
    /// Requests are rejected.
    Disabled,
}

impl State {
    /// Returns the value in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// The quota of a key store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaSettings {
    /// The long-term rate in requests per second; at least 1.
    pub rate: u32,
    /// The number of requests at once after a quiet time; at least 1.
    pub burst: u32,
}

/// One `[[key_store.key]]` table. The type guarantees that the key has a primary version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    id: ExternalKeyId,
    state: State,
    primary: VersionSettings,
    others: Vec<VersionSettings>,
    tags: Vec<(String, String)>,
    may_be_shared: bool,
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSettings {
    /// Its number, which is part of ciphertexts; at least 1.
    pub number: KeyVersion,
    /// The key on the HSMs.
    pub selector: Arc<KeySelector>,
}

impl KeySettings {
    /// Creates a key with one version.
    pub fn single(id: ExternalKeyId, state: State, selector: KeySelector) -> Self {
        let primary = VersionSettings {
            number: KeyVersion::FIRST,
            selector: Arc::new(selector),
        };
        Self {
            id,
            state,
            primary,
            others: Vec::new(),
            tags: Vec::new(),
            may_be_shared: false,
        }
    }

    /// Creates a key with several versions. `primary` encrypts; returns none if it is not one of the versions.
    pub fn versioned(
        id: ExternalKeyId,
        state: State,
        primary: KeyVersion,
        mut versions: Vec<VersionSettings>,
    ) -> Option<Self> {
        let at = versions.iter().position(|v| v.number == primary)?;
        let primary = versions.remove(at);
        Some(Self {
            id,
            state,
            primary,
            others: versions,
            tags: Vec::new(),
            may_be_shared: false,
        })
    }

    /// Sets the tags of the key, for policies.
    pub fn tagged(self, tags: Vec<(String, String)>) -> Self {
        Self { tags, ..self }
    }

    /// Returns its tags.
    pub fn tags(&self) -> &[(String, String)] {
        &self.tags
    }

    /// Returns its ID in URIs.
    pub fn id(&self) -> &ExternalKeyId {
        &self.id
    }

    /// Returns whether it is enabled.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the version that encrypts.
    pub fn primary(&self) -> &VersionSettings {
        &self.primary
    }

    /// Returns all versions; all of them decrypt.
    pub fn versions(&self) -> impl Iterator<Item = &VersionSettings> {
        std::iter::once(&self.primary).chain(&self.others)
    }

    /// Returns the labels of its versions on the HSMs. Versions that are selected by ID have none.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.versions()
            .filter_map(|version| match &*version.selector {
                KeySelector::Label(label) => Some(label.as_str()),
                KeySelector::Id(_) => None,
            })
    }

    /// Sets `danger_shared`.
    pub fn shared(self, may_be_shared: bool) -> Self {
        Self {
            may_be_shared,
            ..self
        }
    }

    /// Returns whether another key store may use the same key on an HSM (`danger_shared`).
    pub fn may_be_shared(&self) -> bool {
        self.may_be_shared
    }

    /// Returns the versions that only decrypt.
    pub(super) fn others(&self) -> &[VersionSettings] {
        &self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_primary_version() {
        let id = ExternalKeyId::parse("k").unwrap();
        let version = |number| VersionSettings {
            number: KeyVersion(number),
            selector: Arc::new(KeySelector::Label(number.to_string())),
        };
        let made = |primary, versions| {
            KeySettings::versioned(id.clone(), State::Enabled, KeyVersion(primary), versions)
        };
        assert!(made(2, vec![version(1), version(2)]).is_some());
        assert!(made(3, vec![version(1), version(2)]).is_none());
        assert!(made(1, vec![]).is_none());
    }
}
