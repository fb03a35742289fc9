//! Finds keys that are new on the token: one of them may have the name of a key in use.
//!
//! One search lists the handles of all keys. Only keys with new handles are read, so that a scan of a token with thousands of keys
//! costs little more than this search.

use std::collections::HashSet;

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};

use crate::pkcs11::keys::objects::search;
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::library::errors::Error;
use crate::pkcs11::library::ffi::Session;

/// The maximum number of new keys that are read in one scan. The next scans read the others.
const READ_PER_SCAN: usize = 16;

/// The handles of the keys that have been read.
pub(in crate::pkcs11) struct KeyScan {
    known: HashSet<u64>,
}

impl KeyScan {
    /// Starts with the keys of the table.
    pub(in crate::pkcs11) fn of(keys: &KeyTable) -> Self {
        Self {
            known: keys.handles(),
        }
    }

    /// Reads new keys, and updates the table if it has their names.
    ///
    /// # Errors
    /// When the keys cannot be listed.
    pub(in crate::pkcs11) fn scan(
        &mut self,
        session: &Session,
        keys: &KeyTable,
    ) -> Result<(), Error> {
        let present = search(session, &[Attribute::Class(ObjectClass::SECRET_KEY)])?;
        let is_known = |key: &&ObjectHandle| self.known.contains(&key.handle());
        let (known, new): (Vec<_>, Vec<_>) = present.iter().partition(is_known);
        let read = new.into_iter().take(READ_PER_SCAN);
        let read: Vec<&ObjectHandle> = read
            .inspect(|handle: &&ObjectHandle| keys.read_new(session, **handle))
            .collect();
        self.known = known
            .into_iter()
            .chain(read)
            .map(|handle| handle.handle())
            .collect();
        Ok(())
    }
}
