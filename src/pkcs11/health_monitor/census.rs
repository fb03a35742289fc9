//! Which keys came to the token since the last look: one of them may have the name of a key that is in use.
//!
//! One search lists every key's handle. Only handles that were not there before are read, so that a token with thousands of keys costs
//! no more than that search.

use std::collections::HashSet;

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};

use crate::pkcs11::keys::objects::search;
use crate::pkcs11::keys::table::KeyTable;
use crate::pkcs11::library::errors::Error;
use crate::pkcs11::library::ffi::Session;

/// The most new keys that are read in one look; the others are read in the next ones.
const READ_PER_LOOK: usize = 16;

/// The keys that were there at the last look.
pub(in crate::pkcs11) struct Census {
    known: HashSet<u64>,
}

impl Census {
    /// A census of the keys that the table knows.
    pub(in crate::pkcs11) fn of(keys: &KeyTable) -> Self {
        Self {
            known: keys.handles(),
        }
    }

    /// Reads new keys, and updates the table where it knows their names.
    ///
    /// # Errors
    /// When the keys cannot be listed.
    pub(in crate::pkcs11) fn look(
        &mut self,
        session: &Session,
        keys: &KeyTable,
    ) -> Result<(), Error> {
        let there = search(session, &[Attribute::Class(ObjectClass::SECRET_KEY)])?;
        let is_known = |key: &&ObjectHandle| self.known.contains(&key.handle());
        let (known, new): (Vec<_>, Vec<_>) = there.iter().partition(is_known);
        let read = new.into_iter().take(READ_PER_LOOK);
        let read: Vec<&ObjectHandle> = read
            .inspect(|handle: &&ObjectHandle| keys.meet(session, **handle))
            .collect();
        self.known = known
            .into_iter()
            .chain(read)
            .map(|handle| handle.handle())
            .collect();
        Ok(())
    }
}
