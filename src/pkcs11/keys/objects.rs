//! The keys of a token that other programs use too: objects appear and vanish while they are listed, and some cannot be read.

use cryptoki::error::RvError;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};

use crate::pkcs11::library::errors::Error;
use crate::pkcs11::library::errors::{is_about_the_device, is_about_the_session};
use crate::pkcs11::library::ffi::Session;

/// How often a call is made that fails although the device answers. Some tokens fail a search when an object vanishes under it.
/// Others report a storage that another program locks as an error of the device.
const ATTEMPTS: usize = 3;

/// The objects that a search has found.
#[derive(Default)]
pub(in crate::pkcs11) struct Listed {
    /// Those that could be read.
    pub readable: Vec<(ObjectHandle, Vec<Attribute>)>,
    /// Those that are there and cannot be read, with the reason. Objects that have vanished are in neither list.
    pub unreadable: Vec<(ObjectHandle, Error)>,
}

impl Listed {
    /// Finds the objects with the attributes of `template`, and reads `kinds` of each.
    ///
    /// # Errors
    /// When the search fails again and again, or the session or the device is gone. An object that cannot be read is not an error.
    pub(in crate::pkcs11) fn read(
        session: &Session,
        template: &[Attribute],
        kinds: &[AttributeType],
    ) -> Result<Self, Error> {
        let mut listed = Self::default();
        for handle in search(session, template)? {
            match in_attempts(|| session.get_attributes(handle, kinds)) {
                Ok(attributes) => listed.readable.push((handle, attributes)),
                Err(error) if is_about_the_device(&error) => return Err(error),
                Err(error) if has_vanished(&error) => {}
                Err(error) => listed.unreadable.push((handle, error)),
            }
        }
        Ok(listed)
    }

    /// The same list. A device that lets not one of several objects be read is itself at fault.
    ///
    /// # Errors
    /// Then, with the error of the last one.
    pub(in crate::pkcs11) fn unless_nothing_can_be_read(mut self) -> Result<Self, Error> {
        match self.readable.is_empty() {
            true => self
                .unreadable
                .pop()
                .map_or(Ok(self), |(_, error)| Err(error)),
            false => Ok(self),
        }
    }
}

/// The objects with the attributes of `template`.
///
/// # Errors
/// When the search fails again and again, or the session is gone.
pub(in crate::pkcs11) fn search(
    session: &Session,
    template: &[Attribute],
) -> Result<Vec<ObjectHandle>, Error> {
    in_attempts(|| session.find_objects(template))
}

fn in_attempts<T>(mut call: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..ATTEMPTS {
        match call() {
            Err(error) if may_pass(&error) => {}
            outcome => return outcome,
        }
    }
    call()
}

/// Whether the same call may succeed in the same session.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Pkcs11(RvError::CryptokiNotInitialized, _) => false,
        Error::Pkcs11(code, _) => !is_about_the_session(*code) && !has_vanished(error),
        _ => false,
    }
}

fn has_vanished(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(RvError::ObjectHandleInvalid | RvError::KeyHandleInvalid, _)
    )
}
