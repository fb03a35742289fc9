//! Reads the attributes of an object.

use cryptoki::error::RvError;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki_sys::CK_ATTRIBUTE;

use super::errors::Error;
use super::ffi::Session;
use super::structures::{AttributeRequest, ulong};

/// The longest value that is read, in bytes. Labels and ids are shorter.
const MAX_VALUE: usize = 65_536;

impl Session {
    /// Reads these attributes of the object. The result lacks attributes that the token does not have or does not reveal.
    ///
    /// # Errors
    /// When the call fails for a reason that does not concern a single attribute.
    pub(in crate::pkcs11) fn get_attributes(
        &self,
        object: ObjectHandle,
        kinds: &[AttributeType],
    ) -> Result<Vec<Attribute>, Error> {
        let mut wanted: Vec<_> = kinds
            .iter()
            .map(|kind| AttributeRequest::new(*kind))
            .collect();
        self.read_known(object, &mut wanted)?;
        // Attributes of variable length are read in a second call, with buffers of the reported length.
        let (mut unread, mut all): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .partition(AttributeRequest::needs_more_space);
        if !unread.is_empty() {
            unread.iter_mut().for_each(AttributeRequest::resize);
            self.read_known(object, &mut unread)?;
            all.append(&mut unread);
        }
        Ok(all
            .iter_mut()
            .filter_map(AttributeRequest::parsed)
            .collect())
    }

    fn read_known(
        &self,
        object: ObjectHandle,
        wanted: &mut [AttributeRequest],
    ) -> Result<(), Error> {
        match self.read(object, wanted) {
            Err(Error::Pkcs11(
                RvError::BufferTooSmall
                | RvError::AttributeSensitive
                | RvError::AttributeTypeInvalid,
                _,
            )) => Ok(()),
            outcome => outcome,
        }
    }
}

impl AttributeRequest {
    fn new(kind: AttributeType) -> Self {
        Self {
            kind,
            value: vec![0; kind.fixed_size().unwrap_or(0)],
            length: None,
        }
    }

    /// Returns whether the token has a value that did not fit.
    fn needs_more_space(&self) -> bool {
        let capacity = self.value.len();
        self.length
            .is_some_and(|length| length > capacity && length <= MAX_VALUE)
    }

    fn resize(&mut self) {
        self.value = vec![0; self.length.unwrap_or(0)];
    }

    /// Returns the attribute if its value was read and has the right type.
    fn parsed(&mut self) -> Option<Attribute> {
        let length = self.length.filter(|length| *length <= self.value.len())?;
        self.value.truncate(length);
        let attribute = CK_ATTRIBUTE {
            ulValueLen: ulong(length),
            ..self.attribute()
        };
        Attribute::try_from(attribute).ok()
    }
}
