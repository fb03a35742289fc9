//! Reading a document that somebody else's program defines: what it says beyond what is read is no fault, but must be named.

use super::Section;
use crate::config::report::Finding;

impl Section<'_> {
    /// Something to say of `key` that is no fault.
    pub(in crate::config) fn remark(&self, key: &str, message: impl Into<String>) -> Finding {
        self.finding(key, message.into())
    }

    /// Whether the key is there, of whatever type.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// True or false, which must be there.
    pub(in crate::config) fn required_boolean(&self, key: &str) -> Option<bool> {
        self.boolean(key).or_else(|| self.missing(key, "true"))
    }

    /// A string that must be there; it may be empty.
    pub(in crate::config) fn present_string(&self, key: &str, example: &str) -> Option<&str> {
        self.string(key).or_else(|| self.missing(key, example))
    }

    /// A table that must be there.
    pub(in crate::config) fn required_section(&self, key: &str) -> Option<Self> {
        self.section(key)
            .or_else(|| self.missing(key, "{ … }, a table"))
    }

    /// The keys that nobody asked for.
    pub(in crate::config) fn unasked(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        let names = self.table.keys().map(|name| name.get_ref().as_ref());
        names
            .filter(|name| !asked.contains(*name))
            .map(str::to_owned)
            .collect()
    }
}
