//! The storage of the record of logins.

use std::io;

use super::entry::Entry;

/// The storage of the record.
pub(in crate::launcher) trait Store {
    /// Writes the record so that it survives a crash of the machine.
    ///
    /// # Errors
    /// When the record may be lost in a crash.
    fn save(&mut self, entries: &[Entry]) -> io::Result<()>;
}
