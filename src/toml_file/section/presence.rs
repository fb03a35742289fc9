//! Required values, and keys that no caller has read.

use super::Section;

impl Section<'_> {
    /// Returns whether the table has the key, with a value of any type.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// A required `true` or `false`.
    pub(crate) fn required_boolean(&self, key: &str) -> Option<bool> {
        self.boolean(key).or_else(|| self.missing(key, "true"))
    }

    /// A required string, which may be empty.
    pub(crate) fn required_string_or_empty(&self, key: &str, example: &str) -> Option<&str> {
        self.string(key).or_else(|| self.missing(key, example))
    }

    /// A required table.
    pub(crate) fn required_section(&self, key: &str) -> Option<Self> {
        self.section(key)
            .or_else(|| self.missing(key, "{ … }, a table"))
    }

    /// The keys that were not read.
    pub(crate) fn unread_keys(&self) -> Vec<String> {
        let read = self.read_keys.borrow();
        let names = self.table.keys().map(|name| name.get_ref().as_ref());
        names
            .filter(|name| !read.contains(*name))
            .map(str::to_owned)
            .collect()
    }
}
