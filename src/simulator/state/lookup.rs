//! Which key a request means, and whether it can be used.

use std::sync::Arc;

use crate::simulator::callers::caller::Caller;
use crate::simulator::crypto::blob::BlobKey;
use crate::simulator::crypto::material::Material;
use crate::simulator::state::runtime::Live;
use crate::simulator::state::{Key, KeyState, Place, State};
use crate::simulator::wire::check;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::names::{alias_arn, key_arn, of_region};

/// What a KeyId may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Names {
    /// A key's id or ARN.
    Keys,
    /// Also an alias, or an alias' ARN.
    KeysAndAliases,
}

/// A key that was found, with where it is.
#[derive(Clone, Copy)]
pub(in crate::simulator) struct Found<'a> {
    pub(in crate::simulator) account: &'a str,
    pub(in crate::simulator) region: &'a str,
    pub(in crate::simulator) place: &'a Place,
    pub(in crate::simulator) key: &'a Key,
    /// The alias by which the request names it.
    pub(in crate::simulator) alias: Option<&'a str>,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Where {
    pub(in crate::simulator) account: String,
    pub(in crate::simulator) region: String,
    pub(in crate::simulator) id: String,
}

/// A name taken apart: whose it is, and what it names.
struct Name<'a> {
    account: &'a str,
    resource: Resource<'a>,
}

enum Resource<'a> {
    Key(&'a str),
    Alias(&'a str),
}

/// The key that this text means to this caller.
pub(in crate::simulator) fn find<'a>(
    state: &'a State,
    caller: &'a Caller,
    text: &'a str,
    names: Names,
) -> Result<Found<'a>, Exception> {
    let fits = (1..=2048).contains(&text.len());
    check(fits, "keyId", "Member must have length between 1 and 2048")?;
    let name = parse(caller, text).map_err(|error| match names {
        Names::Keys => error,
        // The operations that take aliases do not all declare InvalidArnException.
        Names::KeysAndAliases => Kind::NotFound.because(error.message),
    })?;
    let region = caller.region.as_str();
    let (account, place) = (name.account, state.place(name.account, region));
    let alias = match name.resource {
        Resource::Alias(alias) => Some(alias),
        Resource::Key(_) => None,
    };
    let id = match name.resource {
        Resource::Alias(_) if names == Names::Keys => {
            return Err(Kind::InvalidArn
                .because("This operation takes the id or the ARN of a key, and no alias."));
        }
        Resource::Alias(alias) => {
            let found = place.and_then(|place| place.aliases.get(alias));
            let arn = alias_arn(account, region, alias);
            found
                .map(|alias| alias.key.as_str())
                .ok_or_else(|| Kind::NotFound.because(format!("Alias {arn} is not found.")))?
        }
        Resource::Key(id) => id,
    };
    let found = place.and_then(|place| Some((place, place.keys.get(id)?)));
    let (place, key) = found.ok_or_else(|| no_key(account, region, id))?;
    Ok(Found {
        account,
        region,
        place,
        key,
        alias,
    })
}

fn parse<'a>(caller: &'a Caller, text: &'a str) -> Result<Name<'a>, Exception> {
    let here = caller.account.as_str();
    if text.starts_with("alias/") {
        return Ok(Name {
            account: here,
            resource: Resource::Alias(text),
        });
    }
    if !text.starts_with("arn:") {
        return Ok(Name {
            account: here,
            resource: Resource::Key(text),
        });
    }
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let &[_, partition, "kms", region, account, resource] = parts.as_slice() else {
        return Err(Kind::InvalidArn.because("The ARN is not that of a key or an alias."));
    };
    if region != caller.region || partition != of_region(region) {
        return Err(Kind::NotFound.because(format!("Invalid arn {region}")));
    }
    match resource.split_once('/') {
        Some(("key", id)) => Ok(Name {
            account,
            resource: Resource::Key(id),
        }),
        Some(("alias", _)) => Ok(Name {
            account,
            resource: Resource::Alias(resource),
        }),
        _ => Err(Kind::InvalidArn.because("The ARN is not that of a key or an alias.")),
    }
}

fn no_key(account: &str, region: &str, id: &str) -> Exception {
    let arn = key_arn(account, region, id);
    Kind::NotFound.because(format!("Key '{arn}' does not exist"))
}

/// A key that was located, to change it.
pub(in crate::simulator) fn key_mut<'a>(
    state: &'a mut State,
    at: &Where,
) -> Result<&'a mut Key, Exception> {
    let place = state.known_mut(&at.account, &at.region);
    let key = place.and_then(|place| place.keys.get_mut(&at.id));
    key.ok_or_else(|| no_key(&at.account, &at.region, &at.id))
}

/// A key that can encrypt and decrypt, with all that it takes; nothing of it is borrowed from the state.
pub(in crate::simulator) struct Usable {
    pub(in crate::simulator) arn: String,
    pub(in crate::simulator) name: BlobKey,
    pub(in crate::simulator) store: String,
    pub(in crate::simulator) xks_key_id: String,
    pub(in crate::simulator) material: Material,
    pub(in crate::simulator) live: Arc<Live>,
}

impl Found<'_> {
    /// The key's ARN.
    pub(in crate::simulator) fn arn(&self) -> String {
        key_arn(self.account, self.region, &self.key.id)
    }

    /// Where it is.
    pub(in crate::simulator) fn to_owned(self) -> Where {
        Where {
            account: self.account.to_owned(),
            region: self.region.to_owned(),
            id: self.key.id.clone(),
        }
    }

    /// Whether its store is connected.
    pub(in crate::simulator) fn is_connected(&self) -> bool {
        let store = self.place.stores.get(&self.key.store);
        store.is_some_and(|store| store.is_connected())
    }

    /// A key on its way out cannot be changed.
    pub(in crate::simulator) fn check_not_pending(&self) -> Result<(), Exception> {
        match self.key.state {
            KeyState::PendingDeletion(_) => Err(pending(&self.arn())),
            KeyState::Enabled | KeyState::Disabled => Ok(()),
        }
    }

    /// All that it takes to encrypt and decrypt with it.
    pub(in crate::simulator) fn usable(&self) -> Result<Usable, Exception> {
        let (key, arn) = (self.key, self.arn());
        self.check_not_pending()?;
        if key.state == KeyState::Disabled {
            return Err(Kind::Disabled.because(format!("{arn} is disabled.")));
        }
        let store = self.place.stores.get(&key.store);
        let connected = store.filter(|store| store.is_connected());
        let store = connected.ok_or_else(|| not_connected(&arn))?;
        Ok(Usable {
            arn,
            name: BlobKey {
                account: self.account.to_owned(),
                region: self.region.to_owned(),
                id: key.id.clone(),
            },
            store: store.id.clone(),
            xks_key_id: key.xks_key_id.clone(),
            material: key.material.clone(),
            live: Arc::clone(&store.live),
        })
    }
}

/// The exception for a key that waits for its deletion.
pub(in crate::simulator) fn pending(arn: &str) -> Exception {
    Kind::KmsInvalidState.because(format!("{arn} is pending deletion."))
}

/// The exception for a key whose store is not connected.
pub(in crate::simulator) fn not_connected(arn: &str) -> Exception {
    Kind::KmsInvalidState.because(format!(
        "This KMS key is in a custom key store that is not connected: {arn} is unavailable until ConnectCustomKeyStore has connected it."
    ))
}

#[cfg(test)]
mod tests;
