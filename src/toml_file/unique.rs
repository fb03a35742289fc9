//! Names that must be unique in a document.

use std::collections::HashSet;

use super::section::Section;

/// The names that were used so far.
#[derive(Default)]
pub(crate) struct Unique(HashSet<String>);

impl Unique {
    /// Records `value` of `key` in `section`; a value that was used before is an error.
    pub(crate) fn check(&mut self, section: &Section<'_>, key: &str, value: &str) {
        if !self.0.insert(value.to_owned()) {
            section.error(key, format!("{value:?} is used twice; it must be unique"));
        }
    }
}
