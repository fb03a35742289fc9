//! A table of a document. It records which keys were read: [`Section::finish`] reports the others as errors.

mod files;
pub(crate) mod lists;
mod presence;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::findings::Finding;
use super::values;
use crate::similar::nearest;

/// A table, with its path and its line in the document.
pub(crate) struct Section<'a> {
    document: &'a Document<'a>,
    table: &'a DeTable<'a>,
    path: String,
    line: Option<usize>,
    read_keys: RefCell<BTreeSet<String>>,
}

impl<'a> Section<'a> {
    /// The table of the whole document.
    pub(crate) fn root(document: &'a Document<'a>) -> Self {
        Self::new(document, document.table(), String::new(), None)
    }

    fn new(
        document: &'a Document<'a>,
        table: &'a DeTable<'a>,
        path: String,
        line: Option<usize>,
    ) -> Self {
        Self {
            document,
            table,
            path,
            line,
            read_keys: RefCell::default(),
        }
    }

    // ---- findings

    /// Returns the path of `key` in the document, such as `server.listen`.
    pub(crate) fn key_path(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    /// The document of this table.
    pub(crate) fn document(&self) -> &Document<'a> {
        self.document
    }

    /// Returns a finding about `key`, without adding it to the document.
    pub(crate) fn finding(&self, key: &str, message: String) -> Finding {
        let line = self
            .entry(key)
            .map(|(name, _)| self.document.line(&name.span()));
        Finding {
            key: self.key_path(key),
            line: line.or(self.line),
            message,
        }
    }

    /// Adds an error of `key`.
    pub(crate) fn error(&self, key: &str, message: impl Into<String>) {
        let finding = self.finding(key, message.into());
        self.document.error(finding);
    }

    /// Adds a warning about `key`.
    pub(crate) fn warn(&self, key: &str, message: impl Into<String>) {
        let finding = self.finding(key, message.into());
        self.document.warn(finding);
    }

    /// Reports each key that was not read as an error. Must be called last.
    pub(crate) fn finish(&self) {
        let read = self.read_keys.borrow();
        for name in self.table.keys() {
            let key: &str = name.get_ref();
            if read.contains(key) {
                continue;
            }
            match nearest(key, read.iter().map(String::as_str)) {
                Some(known) => self.error(key, format!("is unknown; did you mean {known:?}?")),
                None => {
                    let known: Vec<&str> = read.iter().map(String::as_str).collect();
                    self.error(key, format!("is unknown; known keys: {}", known.join(", ")));
                }
            }
        }
    }

    // ---- values

    /// The keys of the table.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.table.keys();
        names.map(|name| name.get_ref().to_string()).collect()
    }

    fn entry(
        &self,
        key: &str,
    ) -> Option<(&'a Spanned<std::borrow::Cow<'a, str>>, &'a DeValue<'a>)> {
        let mut entries = self.table.iter();
        let (name, value) = entries.find(|(name, _)| name.get_ref().as_ref() == key)?;
        Some((name, value.get_ref()))
    }

    fn value(&self, key: &str) -> Option<&'a DeValue<'a>> {
        self.read_keys.borrow_mut().insert(key.to_owned());
        #[cfg(test)]
        self.document.note_read_key(self.key_path(key));
        self.entry(key).map(|(_, value)| value)
    }

    fn of_type<T>(
        &self,
        key: &str,
        wanted: &str,
        as_type: impl Fn(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let typed = as_type(value);
        if typed.is_none() {
            self.error(key, format!("must be {wanted}, not {}", value.type_str()));
        }
        typed
    }

    /// Reports a missing key as an error. Returns `None`.
    pub(crate) fn missing<T>(&self, key: &str, example: &str) -> Option<T> {
        // A value of a wrong type is an error already.
        if self.entry(key).is_none() {
            self.error(key, format!("is missing; for example {key} = {example}"));
        }
        None
    }

    /// A string; `None` without the key.
    pub(crate) fn string(&self, key: &str) -> Option<&'a str> {
        self.of_type(key, "a string", |value| value.as_str())
    }

    /// A required string, which must not be blank.
    pub(crate) fn required_string(&self, key: &str, example: &str) -> Option<&'a str> {
        let Some(text) = self.string(key) else {
            return self.missing(key, example);
        };
        match values::blank(text) {
            Some(problem) => {
                self.error(key, format!("{problem}; for example {key} = {example}"));
                None
            }
            None => Some(text),
        }
    }

    /// An optional string, which must not be blank.
    pub(crate) fn non_blank_string(&self, key: &str) -> Option<&'a str> {
        let text = self.string(key)?;
        match values::blank(text) {
            Some(problem) => {
                self.error(key, problem);
                None
            }
            None => Some(text),
        }
    }

    /// Returns whether the value of `key` is this word. Any other value is not an error here.
    pub(crate) fn is_word(&self, key: &str, word: &str) -> bool {
        self.value(key).and_then(|value| value.as_str()) == Some(word)
    }

    /// True or false; `None` without the key.
    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        self.of_type(key, "true or false", |value| value.as_bool())
    }

    /// One of several words; `None` without the key.
    pub(crate) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string(key)?;
        let found = choices
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<String> = choices
                .iter()
                .map(|(word, _)| format!("{word:?}"))
                .collect();
            self.error(
                key,
                format!("is {text:?}; it may be {}", words.join(" or ")),
            );
        }
        found
    }

    /// A whole number in `range`; `None` without the key.
    pub(crate) fn integer(&self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let number = self.of_type(key, "a whole number", |value| {
            let integer = value.as_integer()?;
            i64::from_str_radix(integer.as_str(), integer.radix()).ok()
        })?;
        let number = u64::try_from(number)
            .ok()
            .filter(|number| range.contains(number));
        if number.is_none() {
            self.error(
                key,
                format!("must be from {} to {}", range.start(), range.end()),
            );
        }
        number
    }

    /// A number, which may have decimals; `None` without the key.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.of_type(key, "a number", |value| match value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => integer.as_str().parse().ok(),
            _ => None,
        })
    }

    /// A string that `parse` converts; `None` without the key. An error of `parse` becomes an error of the document.
    pub(crate) fn parsed<T, E: Display>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let outcome = parse(self.string(key)?);
        let outcome = outcome.map_err(|error| self.error(key, error.to_string()));
        outcome.ok()
    }

    /// A duration in `range`, such as `"230ms"`; `None` without the key.
    pub(crate) fn duration(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<std::time::Duration>,
    ) -> Option<std::time::Duration> {
        self.parsed(key, |text| values::duration(text, &range))
    }

    // ---- tables

    /// A table; `None` without the key.
    pub(crate) fn section(&self, key: &str) -> Option<Section<'a>> {
        let table = self.of_type(key, "a table", |value| value.as_table())?;
        let line = self
            .entry(key)
            .map(|(name, _)| self.document.line(&name.span()));
        Some(Section::new(self.document, table, self.key_path(key), line))
    }

    /// The tables of an array of tables; empty without the key.
    pub(crate) fn sections(&self, key: &str) -> Vec<Section<'a>> {
        let tables = self.of_type(key, "an array of tables", |value| {
            let tables = value.as_array()?.iter();
            tables
                .map(|item| Some((item.get_ref().as_table()?, item.span())))
                .collect()
        });
        let tables: Vec<(&DeTable<'a>, Range<usize>)> = tables.unwrap_or_default();
        let section = |(index, (table, span)): (usize, (&'a DeTable<'a>, Range<usize>))| {
            let path = format!("{}[{index}]", self.key_path(key));
            Section::new(self.document, table, path, Some(self.document.line(&span)))
        };
        tables.into_iter().enumerate().map(section).collect()
    }
}
