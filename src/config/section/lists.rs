//! Lists of strings. A string that is listed twice, or that cannot be a name, is an error: its author meant something else.

use std::collections::HashSet;

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

    /// A string, or a list of strings that may hold a string several times, if the key is there.
    pub(in crate::config) fn string_or_strings(&self, key: &str) -> Option<Vec<&'a str>> {
        self.of_type(key, "a string or a list of strings", |value| {
            if let Some(text) = value.as_str() {
                return Some(vec![text]);
            }
            let items = value.as_array()?.iter();
            items.map(|item| item.get_ref().as_str()).collect()
        })
    }
}

fn problem(text: &str) -> Option<&'static str> {
    let blanks = "begins or ends with a blank: nothing matches it";
    values::blank(text).or((text.trim() != text).then_some(blanks))
}
