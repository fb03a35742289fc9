//! A new key on one HSM, and what that means for the HSMs beside it.

use serde::Serialize;

use super::comparison::{Held, compare};
use super::error::CreationError;
use super::report::HeldKey;
use super::version::held_key;
use super::{Device, Found, Inventory};
use crate::ekm::KeySelector;
use crate::hsm_protocol::NewKey;
use crate::keystore::{KeySettings, KeyStoreSettings};

/// What came of making a key.
#[derive(Debug, Default, Serialize)]
pub struct Created {
    /// Where it was made.
    pub created: Vec<New>,
    /// HSMs that have it besides.
    pub also_on: Vec<String>,
    /// HSMs that do not have it.
    pub missing_on: Vec<String>,
    /// What is wrong besides.
    pub faults: Vec<String>,
    /// Whether an HSM does not answer, or cannot be opened.
    pub has_unavailable_hsm: bool,
}

/// A key that was made.
#[derive(Debug, Serialize)]
pub struct New {
    /// On this HSM.
    pub hsm: String,
    /// As the HSM has it.
    pub key: HeldKey,
}

impl Created {
    /// Whether every HSM has what it needs.
    pub fn is_complete(&self) -> bool {
        self.missing_on.is_empty() && self.faults.is_empty()
    }

    fn failed(&mut self, error: &CreationError) {
        self.has_unavailable_hsm |= matches!(error, CreationError::Unavailable(_));
        self.faults.push(error.to_string());
    }
}

/// The HSMs that are concerned when one of them gets a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Concerned {
    /// Itself, and every other one of the key stores that use it: none of them may have another key of this name.
    pub all: Vec<String>,
    /// Those that must have it: of the key stores that name the key; of all, while none names it yet.
    pub must_have: Vec<String>,
}

impl Concerned {
    /// Those that are concerned when `hsm` gets this key.
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

/// This HSM and all of the stores, each once.
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
    /// Makes a key on `hsm`, unless one of the HSMs has one of this name already or cannot be asked; afterwards those of `must_have`
    /// are asked whether they have it, too.
    ///
    /// # Errors
    /// Why nothing was made, or what is wrong with what was.
    pub fn create(
        &mut self,
        hsm: &str,
        new: &NewKey,
        must_have: &[String],
    ) -> Result<Created, CreationError> {
        self.refuse_a_second(hsm, new)?;
        let made = self.create_on(hsm, new)?;
        // Some makers' devices copy a new key to each other: then it is there by now.
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
                Found::Ambiguous(n) => outcome.faults.push(format!("{name}: now has {n} of them")),
                Found::Unknown(error) => {
                    outcome.failed(&CreationError::Unavailable(format!("{name}: {error}")));
                }
            }
        }
        outcome
            .faults
            .extend(compare(&self.holders(&label)).complaint());
        Ok(outcome)
    }

    /// Makes a health key on each of the HSMs that has none. Each may have its own: nothing else is ever encrypted with them.
    pub fn create_health_keys(&mut self, new: &NewKey) -> Created {
        let mut outcome = Created::default();
        let label = KeySelector::Label(new.label.clone());
        for device in &mut self.devices {
            // Two names may mean one token: then the first has made it for both.
            device.refresh();
            let name = device.name.to_string();
            match device.find(&label) {
                Found::One(_, key) if key.is_fit() => outcome.also_on.push(name),
                Found::One(..) => outcome.faults.push(format!(
                    "{name}: there is a key with {label} already, but it is not an AES-256 key that may encrypt and decrypt"
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

    fn refuse_a_second(&self, hsm: &str, new: &NewKey) -> Result<(), CreationError> {
        let unopened = self.unopened();
        if !unopened.is_empty() {
            let why = "whether a key of this name is there already cannot be known";
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
                    "{other} has a key with {taken} already, and {hsm} would get another one of the same name: what one encrypts, the \
                     other could not decrypt; clone the key of {other} with the maker's tool; nothing was made"
                ),
            }));
        }
        Ok(())
    }

    /// Every HSM that has exactly one such key.
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
    fn a_key_concerns_every_hsm_of_every_store_of_its_hsm() {
        let label = |label: &str| KeySelector::Label(label.to_owned());
        let stores = [
            store(&["b", "a"], label("one")),
            store(&["c", "a"], KeySelector::Id(vec![2])),
            store(&["d"], label("three")),
        ];
        let concerned = |hsm, label: &str, id: Option<Vec<u8>>| {
            let label = label.to_owned();
            let Concerned { all, must_have } = Concerned::by(&stores, hsm, &NewKey { label, id });
            (all.concat(), must_have.concat())
        };
        let pair = |all: &str, must_have: &str| (all.to_owned(), must_have.to_owned());
        assert_eq!(concerned("a", "one", None), pair("abc", "ab"));
        assert_eq!(concerned("a", "two", Some(vec![2])), pair("abc", "ac"));
        assert_eq!(concerned("a", "unnamed", None), pair("abc", "abc"));
        assert_eq!(concerned("a", "three", None), pair("abc", "abc"));
        assert_eq!(concerned("d", "three", None), pair("d", "d"));
        assert_eq!(concerned("spare", "one", None), pair("spare", "spare"));
    }
}
