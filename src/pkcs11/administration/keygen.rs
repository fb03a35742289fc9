//! Creates a key for the proxy: AES-256, sensitive, not extractable, only for encryption and decryption.
//!
//! # Invariants
//! - A key is created only if neither its label nor its id is in use, because the proxy does not use keys of the same name.
//! - A new key is read back and tried before the command reports success.
//! - No permanent key is created before AES-GCM is known to work: without a health key, a session key is tried first.
//! - The report of an unsuitable key, or of several keys that were created at once under one name, contains the CKA_ID.
//! - An unsuitable key is reported, not deleted.

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

/// The maximum number of searches for a new key, and the pause between two of them.
const SEARCH_ATTEMPTS: usize = 4;
const SEARCH_PAUSE: Duration = Duration::from_millis(100);

/// The pause before the second check of a new key. After it, a key that another program created under the same name is visible.
const SECOND_CHECK_AFTER: Duration = Duration::from_secs(1);

/// The length of a random id, in bytes: long enough that two ids never collide.
const ID_LENGTH: usize = 16;

/// Why no suitable key was created.
#[derive(Debug, ThisError)]
pub enum CreateKeyError {
    /// Its label or id is in use. No key was created.
    #[error("a key with {0} already exists")]
    Taken(KeySelector),
    /// The token rejects the creation. No key was created.
    #[error("the token does not create the key: {0}")]
    Rejected(AdministrationError),
    /// A key was created, but it is not suitable.
    #[error(
        "a key was created ({0}), but it is not suitable: {1}; delete it with the vendor's tool"
    )]
    Unfit(String, String),
    /// The token cannot use such a key. No key was created.
    #[error("AES-GCM does not work on the token: {0}; nothing was made")]
    NoAesGcm(String),
}

impl OpenToken {
    /// Creates a key, reads it back and tries it.
    ///
    /// # Errors
    /// [`CreateKeyError`], which shows whether a key was created.
    pub fn create(&mut self, new: &NewKey) -> Result<KeyObject, CreateKeyError> {
        let rejected = |error: AdministrationError| CreateKeyError::Rejected(error);
        let id = match &new.id {
            Some(id) => id.clone(),
            None => {
                let mut id = vec![0; ID_LENGTH];
                let random = self.session.generate_random_slice(&mut id);
                random.map_err(|error| rejected(error.into()))?;
                id
            }
        };
        let names = [
            KeySelector::Label(new.label.clone()),
            KeySelector::Id(id.clone()),
        ];
        for name in &names {
            let existing = self.search(name);
            let existing = existing.map_err(|error| rejected(error.into()))?;
            if !existing.is_empty() {
                return Err(CreateKeyError::Taken(name.clone()));
            }
        }
        self.try_aes_gcm()?;
        let made = self.generate(&new.label, &id);
        let made = made.map_err(|error| rejected(error.into()))?;
        let unfit = |why| CreateKeyError::Unfit(key_description(&new.label, &id), why);
        self.confirm(made, &names).map_err(&unfit)?;
        // SoftHSM hides a key that another program created at the same moment until the next change of the token.
        thread::sleep(SECOND_CHECK_AFTER);
        self.confirm(made, &names).map_err(unfit)
    }

    /// Fails if no GCM plan works. Tries a session key if the health key has not shown a working plan.
    fn try_aes_gcm(&mut self) -> Result<(), CreateKeyError> {
        if let GcmFinding::Unproved(..) = &self.gcm {
            self.try_session_key()?;
        }
        match &self.gcm {
            GcmFinding::Unusable(why) => Err(CreateKeyError::NoAesGcm(why.clone())),
            GcmFinding::Proved(_) | GcmFinding::Unproved(..) => Ok(()),
        }
    }

    /// Tries AES-GCM with a session key. Does nothing on a token without session keys: then the new key shows whether AES-GCM works.
    fn try_session_key(&mut self) -> Result<(), CreateKeyError> {
        let rejected = |error: AdministrationError| CreateKeyError::Rejected(error);
        let session = self.slot.open_session(&self.module);
        let session = session.map_err(|error| rejected(error.into()))?;
        let mut id = vec![0; ID_LENGTH];
        let random = session.generate_random_slice(&mut id);
        random.map_err(|error| rejected(error.into()))?;
        let label = format!("xks-proxy trial {}", crate::hex::encode(&id));
        let mut template = template(&label, &id);
        for attribute in &mut template {
            if let Attribute::Token(is_stored) = attribute {
                *is_stored = false;
            }
        }
        let before = (self.plan, self.gcm.clone());
        if session.generate_key(CKM_AES_KEY_GEN, &template).is_ok() {
            self.probe_with(&label).map_err(rejected)?;
            if let GcmFinding::Unproved(..) = &self.gcm {
                (self.plan, self.gcm) = before;
            }
        }
        Ok(())
    }

    fn generate(&self, label: &str, id: &[u8]) -> Result<ObjectHandle, Error> {
        // The login of the token is also valid in this session.
        let session = self.slot.open_read_write_session(&self.module)?;
        session.generate_key(CKM_AES_KEY_GEN, &template(label, id))
    }

    /// Reads the new key. Fails if it is not suitable, or if its name is not unique.
    fn confirm(&mut self, made: ObjectHandle, names: &[KeySelector]) -> Result<KeyObject, String> {
        let keys = self.keys().map_err(|error| error.to_string())?;
        let found = keys.iter().find(|key| key.handle == made);
        let key = found.ok_or("it is not among the keys of the token")?;
        for name in names {
            // Including keys that cannot be read: another program may have created one.
            let named = self
                .find_existing(name)
                .map_err(|error| error.to_string())?;
            match named.as_slice() {
                [one] if *one == made => {}
                [] | [_] => return Err(format!("it does not have {name}")),
                several => {
                    // The first list may lack the key of the other program.
                    let keys = self.keys().map_err(|error| error.to_string())?;
                    let n = several.len();
                    let all: Vec<_> = several
                        .iter()
                        .map(|one| handle_description(*one, &keys))
                        .collect();
                    let all = all.join("; ");
                    return Err(format!(
                        "{n} keys have {name}; another program may have created one at the same time: {all}"
                    ));
                }
            }
        }
        check_attributes(&key.key.attributes, key.key.protection)?;
        self.prove(key)?;
        Ok(key.clone())
    }

    /// Finds the keys of a name that exists. Repeats the search: SoftHSM may find no key while another process uses the token.
    fn find_existing(&self, name: &KeySelector) -> Result<Vec<ObjectHandle>, Error> {
        for _ in 1..SEARCH_ATTEMPTS {
            let found = self.search(name)?;
            if !found.is_empty() {
                return Ok(found);
            }
            thread::sleep(SEARCH_PAUSE);
        }
        self.search(name)
    }

    /// Encrypts and decrypts with the key. Without a health key the GCM plan is not proved yet. Then the new key, which is not in use yet,
    /// serves for the probe.
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
    fn key_description(&self) -> String {
        key_description(self.key.label.as_deref().unwrap_or_default(), &self.key.id)
    }
}

/// Returns the text of [`key_description`] for a handle, or the handle if the key cannot be read.
fn handle_description(handle: ObjectHandle, keys: &[KeyObject]) -> String {
    let key = keys.iter().find(|key| key.handle == handle);
    key.map_or_else(
        || format!("handle {handle}, not readable"),
        KeyObject::key_description,
    )
}

/// Returns id and label, which identify a key in the vendor's tool.
fn key_description(label: &str, id: &[u8]) -> String {
    format!("CKA_ID {}, label {label:?}", crate::hex::encode(id))
}

/// The template sets every attribute, because devices have different defaults.
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
        return Err("its usage is not exactly encryption and decryption");
    }
    match (kept.sensitive, kept.extractable) {
        (Some(true), Some(false)) => Ok(()),
        _ => Err("it is not sensitive, or it is extractable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_any_other_attribute_is_not_suitable() {
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
