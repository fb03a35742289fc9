//! What is told of the settings' keys.

use serde::Serialize;

use crate::config::report::Finding;
use crate::config::section::Section;

/// Every key of the settings with what became of it.
#[derive(Debug, Default, Serialize)]
pub struct Notes {
    /// Is in the configuration; the message says where.
    pub carried_over: Vec<Finding>,
    /// Has no counterpart; the message says what there is instead.
    pub not_carried_over: Vec<Finding>,
    /// Needs somebody's hand or eye before the proxy serves.
    pub to_do: Vec<Finding>,
}

impl Notes {
    pub(super) fn carried(&mut self, section: &Section<'_>, key: &str, to: impl Into<String>) {
        self.carried_over.push(section.remark(key, to));
    }

    pub(super) fn left(&mut self, section: &Section<'_>, key: &str, message: impl Into<String>) {
        self.not_carried_over.push(section.remark(key, message));
    }

    pub(super) fn open(&mut self, section: &Section<'_>, key: &str, message: impl Into<String>) {
        self.to_do.push(section.remark(key, message));
    }

    /// Notes the keys of `table` that are there, and then those that nobody asked for. Call it last.
    pub(super) fn rest(&mut self, section: &Section<'_>, table: &[(&str, &str)]) {
        for (key, message) in table {
            if section.has(key) {
                self.left(section, key, *message);
            }
        }
        for key in section.unasked() {
            let message = "is not known to this command: see what it was for";
            self.left(section, &key, message);
        }
    }

    /// In the order of the settings' lines.
    pub(super) fn in_order(mut self) -> Self {
        for notes in [
            &mut self.carried_over,
            &mut self.not_carried_over,
            &mut self.to_do,
        ] {
            notes.sort_by_key(|note| note.line.unwrap_or(usize::MAX));
        }
        self
    }
}
