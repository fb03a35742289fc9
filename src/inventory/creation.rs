//! Creation of a key on one HSM, and the consequences for the other HSMs of its key stores.

use serde::Serialize;

use super::comparison::{Held, compare};
use super::devices::{Device, Found, Inventory};
use super::error::CreationError;
use super::report::HeldKey;
use super::version::held_key;
use crate::ekm::KeySelector;
use crate::hsm_protocol::NewKey;
use crate::keystore::{KeySettings, KeyStoreSettings};

/// The result of creating a key.
#[derive(Debug, Default, Serialize)]
pub struct Created {
    /// The keys that were created.
    pub created: Vec<New>,
    /// Other HSMs that have the key.
    pub also_on: Vec<String>,
    /// HSMs that must have the key, but do not.
    pub missing_on: Vec<String>,
    /// Other errors.
    pub faults: Vec<String>,
    /// True if an HSM does not answer, or cannot be opened.
    pub has_unavailable_hsm: bool,
}

/// A key that was created.
#[derive(Debug, Serialize)]
pub struct New {
    /// The HSM.
    pub hsm: String,
    /// The key with its attributes on the HSM.
    pub key: HeldKey,
}

impl Created {
    /// Returns whether every HSM has what it needs.
    pub fn is_complete(&self) -> bool {
        self.missing_on.is_empty() && self.faults.is_empty()
    }

    fn failed(&mut self, error: &CreationError) {
        self.has_unavailable_hsm |= matches!(error, CreationError::Unavailable(_));
        self.faults.push(error.to_string());
    }
}

/// The HSMs that are affected when one of them gets a key.
#[derive(Debug, PartialEq, Eq)]
pub struct AffectedHsms {
    /// The HSM itself, and all HSMs of the key stores that use it: none of them may have a different key of this name.
    pub all: Vec<String>,
    /// The HSMs that must have the key: those of the key stores that name it. If no key store names it yet, all.
    pub must_have: Vec<String>,
}

impl AffectedHsms {
    /// Returns the HSMs that are affected when `hsm` gets this key.
    pub fn by(stores: &[KeyStoreSettings], hsm: &str, new: &NewKey) -> Self {
        let using = |store: &&KeyStoreSettings| store.hsms.iter().any(|name| name == hsm);
        let using: Vec<_> = stores.iter().filter(using).collect();
        let names = |store: &&&KeyStoreSettings| store.keys.iter().any(|key| is_named(key, new));
        let naming: Vec<_> = using.iter().filter(names).copied().collect();
        let all = with_hsms_of(hsm, &using);
        let must_have = match naming.is_empty() {
            true => all.clone(),
            false => with_hsms_of(hsm, &naming),
        };
        Self { all, must_have }
    }
}

fn is_named(key: &KeySettings, new: &NewKey) -> bool {
    let is_it = |selector: &KeySelector| match selector {
        KeySelector::Label(label) => *label == new.label,
        KeySelector::Id(id) => Some(id) == new.id.as_ref(),
    };
    key.versions().any(|version| is_it(&version.selector))
}

/// Returns this HSM and the HSMs of the stores, without duplicates.
fn with_hsms_of(hsm: &str, stores: &[&KeyStoreSettings]) -> Vec<String> {
    let mut all = vec![hsm.to_owned()];
    for name in stores.iter().flat_map(|store| &store.hsms) {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}

impl Inventory {
    /// Creates a key on `hsm`. Does nothing if an HSM has a key of this name already, or cannot be opened. Afterwards checks whether the HSMs in
    /// `must_have` have the key, too.
    ///
    /// # Errors
    /// Why no key was created.
    pub fn create(
        &mut self,
        hsm: &str,
        new: &NewKey,
        must_have: &[String],
    ) -> Result<Created, CreationError> {
        self.check_name_is_free(hsm, new)?;
        let made = self.create_on(hsm, new)?;
        // HSMs of some vendors copy a new key to each other.
        self.refresh();
        let label = KeySelector::Label(new.label.clone());
        let mut outcome = Created {
            created: vec![made],
            ..Created::default()
        };
        for device in self.named(must_have).filter(|device| *device.name != *hsm) {
            let name = device.name.to_string();
            match device.find(&label) {
                Found::Absent => outcome.missing_on.push(name),
                Found::One(..) => outcome.also_on.push(name),
                Found::Ambiguous(n) => outcome
                    .faults
                    .push(format!("{name} now has {n} keys with {label}")),
                Found::Unknown(error) => {
                    outcome.failed(&CreationError::Unavailable(format!("{name}: {error}")));
                }
            }
        }
        outcome
            .faults
            .extend(compare(&self.holders(&label)).problem());
        Ok(outcome)
    }

    /// Creates a health key on each of the HSMs that has none. HSMs may have different health keys, because only the checks of the same HSM use
    /// them.
    pub fn create_health_keys(&mut self, new: &NewKey) -> Created {
        let mut outcome = Created::default();
        let label = KeySelector::Label(new.label.clone());
        for device in &mut self.devices {
            // Two names may be the same token: then the key exists already.
            device.refresh();
            let name = device.name.to_string();
            match device.find(&label) {
                Found::One(_, key) if key.is_fit() => outcome.also_on.push(name),
                Found::One(..) => outcome.faults.push(format!(
                    "{name}: there is a key with {label} already, but it is not an AES-256 key with ENCRYPT and DECRYPT"
                )),
                Found::Ambiguous(n) => outcome
                    .faults
                    .push(format!("{name}: there are {n} keys with {label}: keep one")),
                Found::Unknown(error) => {
                    let message = format!("{name} cannot be opened: {error}");
                    outcome.failed(&CreationError::Unavailable(message));
                }
                Found::Absent => match device.create(new) {
                    Ok(made) => outcome.created.push(made),
                    Err(error) => outcome.failed(&error),
                },
            }
        }
        outcome
    }

    fn create_on(&mut self, hsm: &str, new: &NewKey) -> Result<New, CreationError> {
        self.device(hsm)?.create(new)
    }

    fn check_name_is_free(&self, hsm: &str, new: &NewKey) -> Result<(), CreationError> {
        let unopened = self.unopened();
        if !unopened.is_empty() {
            let why = "it is not known whether a key of this name exists already";
            let message = format!("{}: {why}; nothing was made", unopened.join("; "));
            return Err(CreationError::Unavailable(message));
        }
        let mut names = vec![KeySelector::Label(new.label.clone())];
        names.extend(new.id.clone().map(KeySelector::Id));
        for device in &self.devices {
            let is_taken = |name: &&KeySelector| !matches!(device.find(name), Found::Absent);
            let Some(taken) = names.iter().find(is_taken) else {
                continue;
            };
            let other = &device.name;
            if let Found::Unknown(error) = device.find(taken) {
                let message = format!("{other}: {error}; nothing was made");
                return Err(CreationError::Unavailable(message));
            }
            return Err(CreationError::NameInUse(match **other == *hsm {
                true => format!("{hsm} has a key with {taken} already; nothing was made"),
                false => format!(
                    "{other} has a key with {taken} already; {hsm} would get a different key of the same name, and neither HSM could \
                     decrypt what the other encrypts; clone the key of {other} with the vendor's tool; nothing was made"
                ),
            }));
        }
        Ok(())
    }

    /// Returns every HSM that has exactly one such key.
    pub(super) fn holders(&self, selector: &KeySelector) -> Vec<Held<'_>> {
        let holder = |device| match Device::find(device, selector) {
            Found::One(opened, key) => Some(Held {
                device,
                opened,
                key,
            }),
            _ => None,
        };
        self.devices.iter().filter_map(holder).collect()
    }
}

impl Device {
    fn create(&mut self, new: &NewKey) -> Result<New, CreationError> {
        let name = &self.name;
        let opened = self.opened.as_mut();
        let unavailable =
            |error| CreationError::Unavailable(format!("{name} cannot be opened: {error}"));
        let opened = opened.map_err(|error| unavailable(&*error))?;
        match opened.token.create(new) {
            Ok(key) => Ok(New {
                hsm: name.to_string(),
                key: held_key(&key),
            }),
            Err(error) => {
                let message = format!("{name}: {error}");
                Err(match opened.token.fault() {
                    Some(_) => CreationError::Unavailable(message),
                    None => CreationError::Failed(message),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keystore::State;
    use crate::sigv4::Credentials;
    use crate::xks::{ExternalKeyId, PathPrefix};

    fn store(hsms: &[&str], key: KeySelector) -> KeyStoreSettings {
        let id = ExternalKeyId::parse("key").unwrap();
        KeyStoreSettings {
            name: "store".into(),
            prefix: PathPrefix::parse("").unwrap(),
            region: "eu-west-1".into(),
            state: State::Enabled,
            credentials: Credentials::new(Vec::new()),
            keys: vec![KeySettings::single(id, State::Enabled, key)],
            hsms: hsms.iter().map(|name| (*name).to_owned()).collect(),
            quota: None,
            share: 1,
            decrypts_aws_samples: false,
            vpc_endpoints: Default::default(),
        }
    }

    #[test]
    fn a_key_affects_all_hsms_of_the_stores_that_use_its_hsm() {
        let label = |label: &str| KeySelector::Label(label.to_owned());
        let stores = [
            store(&["b", "a"], label("one")),
            store(&["c", "a"], KeySelector::Id(vec![2])),
            store(&["d"], label("three")),
        ];
        let affected = |hsm, label: &str, id: Option<Vec<u8>>| {
            let label = label.to_owned();
            let AffectedHsms { all, must_have } =
                AffectedHsms::by(&stores, hsm, &NewKey { label, id });
            (all.concat(), must_have.concat())
        };
        let pair = |all: &str, must_have: &str| (all.to_owned(), must_have.to_owned());
        assert_eq!(affected("a", "one", None), pair("abc", "ab"));
        assert_eq!(affected("a", "two", Some(vec![2])), pair("abc", "ac"));
        assert_eq!(affected("a", "unnamed", None), pair("abc", "abc"));
        assert_eq!(affected("a", "three", None), pair("abc", "abc"));
        assert_eq!(affected("d", "three", None), pair("d", "d"));
        assert_eq!(affected("spare", "one", None), pair("spare", "spare"));
    }
}
