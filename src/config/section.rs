//! A table of the configuration that knows where it is and which of its keys were asked for: what nobody asks for is a fault.

mod files;
mod foreign;
pub(super) mod lists;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::report::Finding;
use super::values;
use crate::similar::nearest;

/// A table, with its place in the document.
pub(super) struct Section<'a> {
    document: &'a Document<'a>,
    table: &'a DeTable<'a>,
    path: String,
    line: Option<usize>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Section<'a> {
    /// A table at `path`, which begins in `line`.
    pub(super) fn new(
        document: &'a Document<'a>,
        table: &'a DeTable<'a>,
        path: String,
        line: Option<usize>,
    ) -> Self {
        let asked = RefCell::default();
        Self {
            document,
            table,
            path,
            line,
            asked,
        }
    }

    // ---- findings

    /// Where `key` is in the document, such as `server.listen`.
    pub(super) fn key_path(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    /// The document that it is in.
    pub(super) fn document(&self) -> &Document<'a> {
        self.document
    }

    /// A finding of `key`, which is not noted.
    pub(super) fn finding(&self, key: &str, message: String) -> Finding {
        let line = self
            .entry(key)
            .map(|(name, _)| self.document.line(&name.span()));
        Finding {
            key: self.key_path(key),
            line: line.or(self.line),
            message,
        }
    }

    /// Notes a fault of `key`.
    pub(super) fn fault(&self, key: &str, message: impl Into<String>) {
        let finding = self.finding(key, message.into());
        self.document.fault(finding);
    }

    /// Notes something that should be known of `key`.
    pub(super) fn warn(&self, key: &str, message: impl Into<String>) {
        let finding = self.finding(key, message.into());
        self.document.warn(finding);
    }

    /// Notes every key that nobody asked for. Call it last.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for name in self.table.keys() {
            let key: &str = name.get_ref();
            if asked.contains(key) {
                continue;
            }
            match nearest(key, asked.iter().map(String::as_str)) {
                Some(known) => self.fault(key, format!("is unknown; did you mean {known:?}?")),
                None => {
                    let known: Vec<&str> = asked.iter().map(String::as_str).collect();
                    self.fault(key, format!("is unknown; known here: {}", known.join(", ")));
                }
            }
        }
    }

    // ---- values

    /// Every key that is there.
    pub(super) fn names(&self) -> Vec<String> {
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
        self.asked.borrow_mut().insert(key.to_owned());
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
            self.fault(key, format!("must be {wanted}, not {}", value.type_str()));
        }
        typed
    }

    /// Notes that a required key is not there, and gives nothing.
    pub(super) fn missing<T>(&self, key: &str, example: &str) -> Option<T> {
        // A value of a wrong type has had its fault already.
        if self.entry(key).is_none() {
            self.fault(key, format!("is missing; for example {key} = {example}"));
        }
        None
    }

    /// A string, if the key is there.
    pub(super) fn string(&self, key: &str) -> Option<&'a str> {
        self.of_type(key, "a string", |value| value.as_str())
    }

    /// A string that must be there and must not be blank.
    pub(super) fn required_string(&self, key: &str, example: &str) -> Option<&'a str> {
        let Some(text) = self.string(key) else {
            return self.missing(key, example);
        };
        let problem = values::blank(text);
        let told =
            problem.map(|what| self.fault(key, format!("{what}; for example {key} = {example}")));
        told.is_none().then_some(text)
    }

    /// A string that must not be blank, if the key is there.
    pub(super) fn required_if_there(&self, key: &str) -> Option<&'a str> {
        let text = self.string(key)?;
        let told = values::blank(text).map(|what| self.fault(key, what));
        told.is_none().then_some(text)
    }

    /// Whether the key is there and is this word. Another value is left to be read as something else.
    pub(super) fn is_word(&self, key: &str, word: &str) -> bool {
        self.value(key).and_then(|value| value.as_str()) == Some(word)
    }

    /// True or false, if the key is there.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        self.of_type(key, "true or false", |value| value.as_bool())
    }

    /// One of a few words, if the key is there.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
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
            self.fault(
                key,
                format!("is {text:?}; it may be {}", words.join(" or ")),
            );
        }
        found
    }

    /// A whole number in `range`, if the key is there.
    pub(super) fn integer(&self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let number = self.of_type(key, "a whole number", |value| {
            let integer = value.as_integer()?;
            i64::from_str_radix(integer.as_str(), integer.radix()).ok()
        })?;
        let number = u64::try_from(number)
            .ok()
            .filter(|number| range.contains(number));
        if number.is_none() {
            self.fault(
                key,
                format!("must be from {} to {}", range.start(), range.end()),
            );
        }
        number
    }

    /// A number, whole or not, if the key is there.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.of_type(key, "a number", |value| match value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => integer.as_str().parse().ok(),
            _ => None,
        })
    }

    /// A text that `parse` turns into a value or says what is wrong with it, if the key is there.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let outcome = parse(self.string(key)?);
        outcome.map_err(|problem| self.fault(key, problem)).ok()
    }

    /// A duration in `range`, such as `"230ms"`, if the key is there.
    pub(super) fn duration(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<std::time::Duration>,
    ) -> Option<std::time::Duration> {
        self.parsed(key, |text| values::duration(text, &range))
    }

    // ---- tables

    /// A table, if the key is there.
    pub(super) fn section(&self, key: &str) -> Option<Section<'a>> {
        let table = self.of_type(key, "a table", |value| value.as_table())?;
        let line = self
            .entry(key)
            .map(|(name, _)| self.document.line(&name.span()));
        Some(Section::new(self.document, table, self.key_path(key), line))
    }

    /// Every table of an array of tables; none when the key is not there.
    pub(super) fn sections(&self, key: &str) -> Vec<Section<'a>> {
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
