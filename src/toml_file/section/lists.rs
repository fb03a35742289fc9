//! Lists. A string that is listed twice, or that cannot be a name, is an error.

use std::collections::HashSet;
use std::ops::Range;

use toml::de::DeValue;

use super::Section;
use crate::toml_file::values;

impl<'a> Section<'a> {
    /// A list of strings; `None` without the key. A string that is blank, begins or ends with a blank, or occurs twice is an error.
    pub(crate) fn strings(&self, key: &str) -> Option<Vec<&'a str>> {
        let texts = self.repeatable_strings(key)?;
        let (mut seen, mut reported) = (HashSet::new(), HashSet::new());
        for text in &texts {
            if let Some(problem) = problem(text) {
                self.error(key, format!("{text:?} in the list {problem}"));
            }
            if !seen.insert(text) && reported.insert(text) {
                self.error(key, format!("{text:?} is listed twice"));
            }
        }
        Some(texts)
    }

    /// A list of strings, in which a string may occur several times; `None` without the key.
    pub(crate) fn repeatable_strings(&self, key: &str) -> Option<Vec<&'a str>> {
        self.of_type(key, "a list of strings", |value| {
            let items = value.as_array()?.iter();
            items.map(|item| item.get_ref().as_str()).collect()
        })
    }

    /// A string, a table, or a list of strings and tables, as a list; `None` without the key.
    pub(crate) fn strings_and_tables(&self, key: &str) -> Option<Vec<Item<'a>>> {
        self.of_type(
            key,
            "a string, a table, or a list of strings and tables",
            |value| {
                let item =
                    |path: String, value: &'a DeValue<'a>, span| self.item(path, value, span);
                if let Some(items) = value.as_array() {
                    let items = items.iter().enumerate().map(|(index, value)| {
                        let path = format!("{}[{index}]", self.key_path(key));
                        item(path, value.get_ref(), Some(value.span()))
                    });
                    return items.collect();
                }
                Some(vec![item(self.key_path(key), value, None)?])
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
pub(crate) enum Item<'a> {
    /// A string.
    Text(&'a str),
    /// A table.
    Table(Section<'a>),
}

fn problem(text: &str) -> Option<&'static str> {
    let surrounding = "begins or ends with a blank: nothing matches it";
    values::blank(text).or((text.trim() != text).then_some(surrounding))
}
