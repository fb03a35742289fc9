//! Where the record of logins is kept.

use std::io;

use super::entry::Entry;

/// Where the record is kept.
pub(in crate::launcher) trait Store {
    /// Writes the record so that it survives a crash of the machine.
    ///
    /// # Errors
    /// When it may not.
    fn save(&mut self, entries: &[Entry]) -> io::Result<()>;
}
