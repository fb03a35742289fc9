//! Finds the key that a request names, and checks whether it can be used.

use std::sync::Arc;

use crate::simulator::callers::caller::KmsCaller;
use crate::simulator::crypto::blob::BlobKey;
use crate::simulator::crypto::material::KeyMaterial;
use crate::simulator::state::runtime::StoreRuntime;
use crate::simulator::state::{KmsKey, KmsKeyState, KmsState, RegionState};
use crate::simulator::wire::check;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::names::{alias_arn, key_arn, of_region};

/// The forms of KeyId that an operation accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum AcceptedIds {
    /// The id or the ARN of a key.
    Keys,
    /// Also the name or the ARN of an alias.
    KeysAndAliases,
}

/// A key with its account and Region.
#[derive(Clone, Copy)]
pub(in crate::simulator) struct FoundKey<'a> {
    pub(in crate::simulator) account: &'a str,
    pub(in crate::simulator) region: &'a str,
    pub(in crate::simulator) region_state: &'a RegionState,
    pub(in crate::simulator) key: &'a KmsKey,
    /// The alias by which the request names the key.
    pub(in crate::simulator) alias: Option<&'a str>,
}

/// The account, the Region and the id of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct KeyLocation {
    pub(in crate::simulator) account: String,
    pub(in crate::simulator) region: String,
    pub(in crate::simulator) id: String,
}

/// A parsed KeyId.
struct ParsedId<'a> {
    account: &'a str,
    target: IdTarget<'a>,
}

enum IdTarget<'a> {
    Key(&'a str),
    Alias(&'a str),
}

/// Returns the key that `text` names for this caller.
pub(in crate::simulator) fn find<'a>(
    state: &'a KmsState,
    caller: &'a KmsCaller,
    text: &'a str,
    accepted: AcceptedIds,
) -> Result<FoundKey<'a>, Exception> {
    let fits = (1..=2048).contains(&text.len());
    check(fits, "keyId", "Member must have length between 1 and 2048")?;
    let name = parse(caller, text).map_err(|error| match accepted {
        AcceptedIds::Keys => error,
        // Not every operation that accepts aliases declares InvalidArnException.
        AcceptedIds::KeysAndAliases => ExceptionKind::NotFound.with_message(error.message),
    })?;
    let region = caller.region.as_str();
    let (account, region_state) = (name.account, state.region_state(name.account, region));
    let alias = match name.target {
        IdTarget::Alias(alias) => Some(alias),
        IdTarget::Key(_) => None,
    };
    let id = match name.target {
        IdTarget::Alias(_) if accepted == AcceptedIds::Keys => {
            return Err(ExceptionKind::InvalidArn.with_message(
                "This operation accepts the id or the ARN of a key, but not an alias.",
            ));
        }
        IdTarget::Alias(alias) => {
            let found = region_state.and_then(|region_state| region_state.aliases.get(alias));
            let arn = alias_arn(account, region, alias);
            found.map(|alias| alias.key.as_str()).ok_or_else(|| {
                ExceptionKind::NotFound.with_message(format!("Alias {arn} is not found."))
            })?
        }
        IdTarget::Key(id) => id,
    };
    let found =
        region_state.and_then(|region_state| Some((region_state, region_state.keys.get(id)?)));
    let (region_state, key) = found.ok_or_else(|| no_key(account, region, id))?;
    Ok(FoundKey {
        account,
        region,
        region_state,
        key,
        alias,
    })
}

fn parse<'a>(caller: &'a KmsCaller, text: &'a str) -> Result<ParsedId<'a>, Exception> {
    let own_account = caller.account.as_str();
    if text.starts_with("alias/") {
        return Ok(ParsedId {
            account: own_account,
            target: IdTarget::Alias(text),
        });
    }
    if !text.starts_with("arn:") {
        return Ok(ParsedId {
            account: own_account,
            target: IdTarget::Key(text),
        });
    }
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let &[_, partition, "kms", region, account, target] = parts.as_slice() else {
        return Err(
            ExceptionKind::InvalidArn.with_message("The ARN is not that of a key or an alias.")
        );
    };
    if region != caller.region || partition != of_region(region) {
        return Err(ExceptionKind::NotFound.with_message(format!("Invalid arn {region}")));
    }
    match target.split_once('/') {
        Some(("key", id)) => Ok(ParsedId {
            account,
            target: IdTarget::Key(id),
        }),
        Some(("alias", _)) => Ok(ParsedId {
            account,
            target: IdTarget::Alias(target),
        }),
        _ => {
            Err(ExceptionKind::InvalidArn.with_message("The ARN is not that of a key or an alias."))
        }
    }
}

fn no_key(account: &str, region: &str, id: &str) -> Exception {
    let arn = key_arn(account, region, id);
    ExceptionKind::NotFound.with_message(format!("Key '{arn}' does not exist"))
}

/// Returns a key for modification.
pub(in crate::simulator) fn key_mut<'a>(
    state: &'a mut KmsState,
    at: &KeyLocation,
) -> Result<&'a mut KmsKey, Exception> {
    let region_state = state.region_state_mut(&at.account, &at.region);
    let key = region_state.and_then(|region_state| region_state.keys.get_mut(&at.id));
    key.ok_or_else(|| no_key(&at.account, &at.region, &at.id))
}

/// The values that are needed to encrypt and decrypt with a key, copied from the state.
pub(in crate::simulator) struct UsableKey {
    pub(in crate::simulator) arn: String,
    pub(in crate::simulator) name: BlobKey,
    pub(in crate::simulator) store: String,
    pub(in crate::simulator) xks_key_id: String,
    pub(in crate::simulator) material: KeyMaterial,
    pub(in crate::simulator) runtime: Arc<StoreRuntime>,
}

impl FoundKey<'_> {
    /// Returns the ARN of the key.
    pub(in crate::simulator) fn arn(&self) -> String {
        key_arn(self.account, self.region, &self.key.id)
    }

    /// Returns the location of the key.
    pub(in crate::simulator) fn location(self) -> KeyLocation {
        KeyLocation {
            account: self.account.to_owned(),
            region: self.region.to_owned(),
            id: self.key.id.clone(),
        }
    }

    /// Returns whether the store of the key is connected.
    pub(in crate::simulator) fn is_connected(&self) -> bool {
        let store = self.region_state.stores.get(&self.key.store);
        store.is_some_and(|store| store.is_connected())
    }

    /// Checks that the key is not pending deletion.
    pub(in crate::simulator) fn check_not_pending(&self) -> Result<(), Exception> {
        match self.key.state {
            KmsKeyState::PendingDeletion(_) => Err(pending(&self.arn())),
            KmsKeyState::Enabled | KmsKeyState::Disabled => Ok(()),
        }
    }

    /// Checks that the key is enabled and its store is connected, and returns the values for encryption and decryption.
    pub(in crate::simulator) fn usable_key(&self) -> Result<UsableKey, Exception> {
        let (key, arn) = (self.key, self.arn());
        self.check_not_pending()?;
        if key.state == KmsKeyState::Disabled {
            return Err(ExceptionKind::Disabled.with_message(format!("{arn} is disabled.")));
        }
        let store = self.region_state.stores.get(&key.store);
        let connected = store.filter(|store| store.is_connected());
        let store = connected.ok_or_else(|| not_connected(&arn))?;
        Ok(UsableKey {
            arn,
            name: BlobKey {
                account: self.account.to_owned(),
                region: self.region.to_owned(),
                id: key.id.clone(),
            },
            store: store.id.clone(),
            xks_key_id: key.xks_key_id.clone(),
            material: key.material.clone(),
            runtime: Arc::clone(&store.runtime),
        })
    }
}

/// Returns the exception for a key that is pending deletion.
pub(in crate::simulator) fn pending(arn: &str) -> Exception {
    ExceptionKind::KmsInvalidState.with_message(format!("{arn} is pending deletion."))
}

/// Returns the exception for a key whose store is not connected.
pub(in crate::simulator) fn not_connected(arn: &str) -> Exception {
    ExceptionKind::KmsInvalidState.with_message(format!(
        "This KMS key is in a custom key store that is not connected: {arn} is unavailable until ConnectCustomKeyStore has connected it."
    ))
}

#[cfg(test)]
mod tests;
