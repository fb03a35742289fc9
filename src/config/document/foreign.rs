//! Reading a document that somebody else's program defines: what it says beyond what is read is no fault, but must be named.

use super::{DeValue, Document, Section};
use crate::config::report::{Finding, Findings};

impl Document<'_> {
    /// `value`, or the faults in the order of their lines.
    pub(in crate::config) fn value_or_faults<T>(self, value: Option<T>) -> Result<T, Findings> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ => Err(Findings(faults)),
        }
    }
}

impl Section<'_> {
    /// Something to say of `key` that is no fault.
    pub(in crate::config) fn remark(&self, key: &str, message: impl Into<String>) -> Finding {
        self.finding(key, message.into())
    }

    /// Whether the key is there, of whatever type.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// True or false, if the key is there.
    pub(in crate::config) fn boolean(&self, key: &str) -> Option<bool> {
        self.of_type(key, "true or false", DeValue::as_bool)
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
