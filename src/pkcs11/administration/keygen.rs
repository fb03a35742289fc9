//! A new key for the proxy: AES-256, sensitive, not extractable, for encryption and decryption and for nothing else.
//!
//! # Invariants
//! - A key is made only on a token where neither its label nor its id is taken: two keys of one name are none.
//! - What was made is read back and used before anybody hears that it is there.
//! - Nothing is made that stays while AES-GCM is not known to work: without a health key, a session key tries it first.
//! - A key that turns out unfit, or one of several that were made under one name at once, is named by its CKA_ID.
//! - A key that turns out unfit is reported, not deleted: nothing here deletes keys.

use std::thread;
use std::time::Duration;

use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki_sys::CKM_AES_KEY_GEN;
use thiserror::Error as ThisError;

use super::inspection::KeyObject;
use super::open_token::{AdministrationError, OpenToken};
use crate::ekm::{KeyAttributes, KeyKind, KeySelector, KeyUsageFlags};
use crate::hsm_protocol::{GcmFinding, KeyProtection, NewKey};
use crate::pkcs11::library::errors::Error;

/// The length of an AES-256 key, in bytes.
const KEY_LENGTH: u64 = 32;

/// How often the token is asked for a key that it has made, and the pause in between.
const LOOKS: usize = 4;
const PAUSE: Duration = Duration::from_millis(100);

/// A new key is looked at twice, with this pause: only then another program's key of the same name is surely seen.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The length of an id that nobody has chosen, in bytes: long enough that no two are ever the same.
const ID_LENGTH: usize = 16;

/// Why there is no new key, or none that is fit.
#[derive(Debug, ThisError)]
pub enum CreateKeyError {
    /// Its name is taken. Nothing was made.
    #[error("there is a key with {0} already")]
    Taken(KeySelector),
    /// The token makes none. Nothing was made.
    #[error("the token makes no key: {0}")]
    Refused(AdministrationError),
    /// It was made, but it is not as it should be.
    #[error("a key was made ({0}), but it is unfit: {1}; delete it with the vendor's tool")]
    Unfit(String, String),
    /// The token cannot use such a key. Nothing was made.
    #[error("AES-GCM does not work on the token: {0}; nothing was made")]
    NoAesGcm(String),
}

impl OpenToken {
    /// Makes a key, reads it back and uses it.
    ///
    /// # Errors
    /// [`CreateKeyError`] says whether anything was made.
    pub fn create(&mut self, new: &NewKey) -> Result<KeyObject, CreateKeyError> {
        let refused = |error: AdministrationError| CreateKeyError::Refused(error);
        let id = match &new.id {
            Some(id) => id.clone(),
            None => {
                let mut id = vec![0; ID_LENGTH];
                let random = self.session.generate_random_slice(&mut id);
                random.map_err(|error| refused(error.into()))?;
                id
            }
        };
        let names = [
            KeySelector::Label(new.label.clone()),
            KeySelector::Id(id.clone()),
        ];
        for name in &names {
            let there = self.search(name);
            let there = there.map_err(|error| refused(error.into()))?;
            if !there.is_empty() {
                return Err(CreateKeyError::Taken(name.clone()));
            }
        }
        self.try_aes_gcm()?;
        let made = self.generate(&new.label, &id);
        let made = made.map_err(|error| refused(error.into()))?;
        let unfit = |why| CreateKeyError::Unfit(called(&new.label, &id), why);
        self.confirmed(made, &names).map_err(&unfit)?;
        // SoftHSM hides a key that another program made at the same moment until the next change of the token.
        thread::sleep(LOOK_AGAIN_AFTER);
        self.confirmed(made, &names).map_err(unfit)
    }

    /// Fails when no way to do AES-GCM works. Where the health key has not shown one, a key that lives as long as its session does.
    fn try_aes_gcm(&mut self) -> Result<(), CreateKeyError> {
        if let GcmFinding::Unproved(..) = &self.gcm {
            self.try_session_key()?;
        }
        match &self.gcm {
            GcmFinding::Unusable(why) => Err(CreateKeyError::NoAesGcm(why.clone())),
            GcmFinding::Proved(_) | GcmFinding::Unproved(..) => Ok(()),
        }
    }

    /// A token may make no session keys: then the key itself has to show whether AES-GCM works.
    fn try_session_key(&mut self) -> Result<(), CreateKeyError> {
        let refused = |error: AdministrationError| CreateKeyError::Refused(error);
        let session = self.slot.open_session(&self.module);
        let session = session.map_err(|error| refused(error.into()))?;
        let mut id = vec![0; ID_LENGTH];
        let random = session.generate_random_slice(&mut id);
        random.map_err(|error| refused(error.into()))?;
        let label = format!("xks-proxy trial {}", crate::hex::encode(&id));
        let mut template = template(&label, &id);
        for attribute in &mut template {
            if let Attribute::Token(is_stored) = attribute {
                *is_stored = false;
            }
        }
        let before = (self.plan, self.gcm.clone());
        if session.generate_key(CKM_AES_KEY_GEN, &template).is_ok() {
            self.probe_with(&label).map_err(refused)?;
            if let GcmFinding::Unproved(..) = &self.gcm {
                (self.plan, self.gcm) = before;
            }
        }
        Ok(())
    }

    fn generate(&self, label: &str, id: &[u8]) -> Result<ObjectHandle, Error> {
        // The login is the token's: this session has it, too.
        let session = self.slot.open_read_write_session(&self.module)?;
        session.generate_key(CKM_AES_KEY_GEN, &template(label, id))
    }

    /// The key as the token has it now, when all of it is as it should be.
    fn confirmed(
        &mut self,
        made: ObjectHandle,
        names: &[KeySelector],
    ) -> Result<KeyObject, String> {
        let keys = self.keys().map_err(|error| error.to_string())?;
        let found = keys.iter().find(|key| key.handle == made);
        let key = found.ok_or("it is not among the keys of the token")?;
        for name in names {
            // Also those that cannot be read: one of them may be another program's new key.
            let named = self.holders(name).map_err(|error| error.to_string())?;
            match named.as_slice() {
                [one] if *one == made => {}
                [] | [_] => return Err(format!("it does not have {name}")),
                several => {
                    // The list from before may lack the other program's key.
                    let keys = self.keys().map_err(|error| error.to_string())?;
                    let n = several.len();
                    let all: Vec<_> = several.iter().map(|one| called_by(*one, &keys)).collect();
                    let all = all.join("; ");
                    return Err(format!(
                        "{n} keys have {name}, as if another program had made one at the same time: {all}"
                    ));
                }
            }
        }
        check_attributes(&key.key.attributes, key.key.protection)?;
        self.prove(key)?;
        Ok(key.clone())
    }

    /// The keys with a name that at least one has. SoftHSM finds none of them for a moment when another process uses the token.
    fn holders(&self, name: &KeySelector) -> Result<Vec<ObjectHandle>, Error> {
        for _ in 1..LOOKS {
            let found = self.search(name)?;
            if !found.is_empty() {
                return Ok(found);
            }
            thread::sleep(PAUSE);
        }
        self.search(name)
    }

    /// Encrypts and decrypts with the key. On a token that has no health key the way to do it is not proved yet: the new key, under
    /// which nothing is encrypted, proves it.
    fn prove(&mut self, key: &KeyObject) -> Result<(), String> {
        if !matches!(self.gcm, GcmFinding::Proved(_)) {
            let label = key.key.label.clone().unwrap_or_default();
            let probed = self.probe_with(&label);
            probed.map_err(|error| error.to_string())?;
        }
        if let GcmFinding::Unproved(_, reason) | GcmFinding::Unusable(reason) = &self.gcm {
            return Err(reason.clone());
        }
        self.try_key(key)
    }
}

impl KeyObject {
    fn called(&self) -> String {
        called(self.key.label.as_deref().unwrap_or_default(), &self.key.id)
    }
}

/// The same for one of these keys, or for one that cannot be read.
fn called_by(handle: ObjectHandle, keys: &[KeyObject]) -> String {
    let key = keys.iter().find(|key| key.handle == handle);
    key.map_or_else(
        || format!("handle {handle}, not readable"),
        KeyObject::called,
    )
}

/// What identifies a key in the vendor's tool.
fn called(label: &str, id: &[u8]) -> String {
    format!("CKA_ID {}, label {label:?}", crate::hex::encode(id))
}

/// Every attribute is written down: what a device assumes where a template is silent differs from one to the next.
fn template(label: &str, id: &[u8]) -> [Attribute; 16] {
    [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(KEY_LENGTH.into()),
        Attribute::Label(label.into()),
        Attribute::Id(id.into()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]
}

fn check_attributes(found: &KeyAttributes, kept: KeyProtection) -> Result<(), &'static str> {
    let usage = KeyUsageFlags {
        encrypt: true,
        decrypt: true,
        ..KeyUsageFlags::default()
    };
    if found.kind != KeyKind::Aes(256) {
        return Err("it is not an AES-256 key");
    }
    if found.usage != usage {
        return Err("it may not encrypt and decrypt, or do more than that");
    }
    match (kept.sensitive, kept.extractable) {
        (Some(true), Some(false)) => Ok(()),
        _ => Err("the token does not keep it sensitive and unextractable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_any_other_attribute_is_unfit() {
        let usage = KeyUsageFlags {
            encrypt: true,
            decrypt: true,
            ..KeyUsageFlags::default()
        };
        let kind = KeyKind::Aes(256);
        let good = KeyAttributes { kind, usage };
        let kept = KeyProtection {
            sensitive: Some(true),
            extractable: Some(false),
            ..KeyProtection::default()
        };
        assert_eq!(check_attributes(&good, kept), Ok(()));
        let changes: [fn(&mut KeyAttributes, &mut KeyProtection); 7] = [
            |found, _| found.kind = KeyKind::Aes(128),
            |found, _| found.usage.decrypt = false,
            |found, _| found.usage.wrap = true,
            |found, _| found.usage.derive = true,
            |_, kept| kept.sensitive = Some(false),
            |_, kept| kept.extractable = Some(true),
            |_, kept| kept.sensitive = None,
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let (mut found, mut kept) = (good.clone(), kept);
            change(&mut found, &mut kept);
            assert!(check_attributes(&found, kept).is_err(), "change {at}");
        }
    }
}
