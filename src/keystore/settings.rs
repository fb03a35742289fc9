//! What the configuration says of a key store. Its devices are named, not there yet.

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
    /// Where it is reached.
    pub prefix: PathPrefix,
    /// The AWS region that its KMS is in.
    pub region: String,
    /// Whether its owner lets it be used at all.
    pub state: State,
    /// Who may sign requests to it.
    pub credentials: Credentials,
    /// Its keys.
    pub keys: Vec<KeySettings>,
    /// The names of the devices, in order of preference.
    pub hsms: Vec<String>,
    /// How many requests it may make; none: as many as it likes.
    pub quota: Option<QuotaSettings>,
    /// Its share of a device that cannot keep up, beside the shares of the other stores; at least 1.
    pub share: u32,
    /// Whether ciphertexts of AWS's sample proxy ("aws-samples-v3") decrypt, too.
    pub decrypts_aws_samples: bool,
    /// The VPC endpoints through which it may be called.
    pub vpc_endpoints: VpcEndpoints,
}

/// Whether something may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Yes.
    Enabled,
    /// No: its owner has switched it off.
    Disabled,
}

impl State {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// The most requests of a key store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaSettings {
    /// Requests per second in the long run; at least 1.
    pub rate: u32,
    /// Requests at once after a quiet time; at least 1.
    pub burst: u32,
}

/// One `[[key_store.key]]` table. It has a primary version: that is proved by its existence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    id: ExternalKeyId,
    state: State,
    primary: VersionSettings,
    others: Vec<VersionSettings>,
    tags: Vec<(String, String)>,
    may_be_shared: bool,
}

/// One version of a key: which device key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSettings {
    /// Its number, as it stands in ciphertexts; at least 1.
    pub number: KeyVersion,
    /// The device key.
    pub selector: Arc<KeySelector>,
}

impl KeySettings {
    /// A key of one version.
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

    /// A key of several versions, of which `primary` encrypts; none when `primary` is not among them.
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

    /// The key with what its owner has tagged it with, for policies.
    pub fn tagged(self, tags: Vec<(String, String)>) -> Self {
        Self { tags, ..self }
    }

    /// What its owner has tagged it with.
    pub fn tags(&self) -> &[(String, String)] {
        &self.tags
    }

    /// Its id in URIs.
    pub fn id(&self) -> &ExternalKeyId {
        &self.id
    }

    /// Whether its owner lets it be used.
    pub fn state(&self) -> State {
        self.state
    }

    /// The version that encrypts.
    pub fn primary(&self) -> &VersionSettings {
        &self.primary
    }

    /// Every version; all of them decrypt.
    pub fn versions(&self) -> impl Iterator<Item = &VersionSettings> {
        std::iter::once(&self.primary).chain(&self.others)
    }

    /// What its versions are called in the device; those that are chosen by id have no label here.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.versions()
            .filter_map(|version| match &*version.selector {
                KeySelector::Label(label) => Some(label.as_str()),
                KeySelector::Id(_) => None,
            })
    }

    /// The same with `danger_shared` as it is said.
    pub fn shared(self, may_be_shared: bool) -> Self {
        Self {
            may_be_shared,
            ..self
        }
    }

    /// Whether its owner has said that another store may have the same device key.
    pub fn may_be_shared(&self) -> bool {
        self.may_be_shared
    }

    /// The versions that decrypt only.
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
