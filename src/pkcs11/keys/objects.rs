//! Lists the objects of a token that other programs also use: objects appear and vanish during the listing, and some cannot be read.

use cryptoki::error::RvError;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};

use crate::pkcs11::library::errors::Error;
use crate::pkcs11::library::errors::{is_about_the_device, is_about_the_session};
use crate::pkcs11::library::ffi::Session;

/// The maximum number of attempts of a call. Some tokens fail a search when an object vanishes during it. Others report a device error
/// when another program has locked their storage.
const ATTEMPTS: usize = 3;

/// The result of a search.
#[derive(Default)]
pub(in crate::pkcs11) struct ObjectList {
    /// Objects that were read.
    pub readable: Vec<(ObjectHandle, Vec<Attribute>)>,
    /// Objects that exist but cannot be read, with the error. Objects that vanished are in neither list.
    pub unreadable: Vec<(ObjectHandle, Error)>,
}

impl ObjectList {
    /// Finds the objects with the attributes of `template`, and reads `kinds` of each.
    ///
    /// # Errors
    /// When the search fails in all attempts, or the session or the device is lost. An object that cannot be read is not an error.
    pub(in crate::pkcs11) fn read(
        session: &Session,
        template: &[Attribute],
        kinds: &[AttributeType],
    ) -> Result<Self, Error> {
        let mut list = Self::default();
        for handle in search(session, template)? {
            match retry(|| session.get_attributes(handle, kinds)) {
                Ok(attributes) => list.readable.push((handle, attributes)),
                Err(error) if is_about_the_device(&error) => return Err(error),
                Err(error) if has_vanished(&error) => {}
                Err(error) => list.unreadable.push((handle, error)),
            }
        }
        Ok(list)
    }

    /// Returns the list, unless no object of it can be read: that is an error of the device.
    ///
    /// # Errors
    /// The error of the last object, if no object can be read.
    pub(in crate::pkcs11) fn unless_unreadable(mut self) -> Result<Self, Error> {
        match self.readable.is_empty() {
            true => self
                .unreadable
                .pop()
                .map_or(Ok(self), |(_, error)| Err(error)),
            false => Ok(self),
        }
    }
}

/// Finds the objects with the attributes of `template`.
///
/// # Errors
/// When the search fails in all attempts, or the session is lost.
pub(in crate::pkcs11) fn search(
    session: &Session,
    template: &[Attribute],
) -> Result<Vec<ObjectHandle>, Error> {
    retry(|| session.find_objects(template))
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..ATTEMPTS {
        match call() {
            Err(error) if may_succeed_later(&error) => {}
            outcome => return outcome,
        }
    }
    call()
}

/// Returns whether a repetition of the call may succeed in the same session.
fn may_succeed_later(error: &Error) -> bool {
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
