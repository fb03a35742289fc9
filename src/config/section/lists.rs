//! Lists of strings. A string that is listed twice, or that cannot be a name, is an error: its author meant something else.

use std::collections::HashSet;
use std::ops::Range;

use toml::de::DeValue;

use super::Section;
use crate::config::values;

impl<'a> Section<'a> {
    /// A list of strings, each of them once, if the key is there. None of them is blank, or begins or ends with a blank: nothing has such a name.
    pub(in crate::config) fn strings(&self, key: &str) -> Option<Vec<&'a str>> {
        let texts = self.repeatable_strings(key)?;
        let (mut seen, mut told) = (HashSet::new(), HashSet::new());
        for text in &texts {
            if let Some(what) = problem(text) {
                self.fault(key, format!("{text:?} in the list {what}"));
            }
            if !seen.insert(text) && told.insert(text) {
                self.fault(key, format!("{text:?} is listed twice"));
            }
        }
        Some(texts)
    }

    /// A list of strings that may hold a string several times, if the key is there.
    pub(in crate::config) fn repeatable_strings(&self, key: &str) -> Option<Vec<&'a str>> {
        self.of_type(key, "a list of strings", |value| {
            let items = value.as_array()?.iter();
            items.map(|item| item.get_ref().as_str()).collect()
        })
    }

    /// A string, a table, or a list of strings and tables, if the key is there.
    pub(in crate::config) fn strings_and_tables(&self, key: &str) -> Option<Vec<Item<'a>>> {
        self.of_type(
            key,
            "a string, a table, or a list of strings and tables",
            |value| {
                let at = |path: String, value: &'a DeValue<'a>, span| self.item(path, value, span);
                if let Some(items) = value.as_array() {
                    let items = items.iter().enumerate().map(|(index, item)| {
                        let path = format!("{}[{index}]", self.key_path(key));
                        at(path, item.get_ref(), Some(item.span()))
                    });
                    return items.collect();
                }
                Some(vec![at(self.key_path(key), value, None)?])
            },
        )
    }

    fn item(
        &self,
        path: String,
        value: &'a DeValue<'a>,
        span: Option<Range<usize>>,
    ) -> Option<Item<'a>> {
        if let Some(text) = value.as_str() {
            return Some(Item::Text(text));
        }
        let line = span.map(|span| self.document().line(&span)).or(self.line);
        let section = Section::new(self.document, value.as_table()?, path, line);
        Some(Item::Table(section))
    }
}

/// An item of a list of strings and tables.
pub(in crate::config) enum Item<'a> {
    /// A string.
    Text(&'a str),
    /// A table.
    Table(Section<'a>),
}

fn problem(text: &str) -> Option<&'static str> {
    let blanks = "begins or ends with a blank: nothing matches it";
    values::blank(text).or((text.trim() != text).then_some(blanks))
}
