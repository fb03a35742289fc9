//! Notes about the keys of the settings.

use serde::Serialize;

use crate::toml_file::{Finding, Section};

/// The result of the migration for each key of the settings.
#[derive(Debug, Default, Serialize)]
pub struct Notes {
    /// The keys with a counterpart; the message names it.
    pub carried_over: Vec<Finding>,
    /// The keys without a counterpart; the message describes the replacement.
    pub not_carried_over: Vec<Finding>,
    /// The actions and checks of the operator before the proxy serves.
    pub to_do: Vec<Finding>,
}

impl Notes {
    pub(super) fn carried(&mut self, section: &Section<'_>, key: &str, to: impl Into<String>) {
        self.carried_over.push(section.finding(key, to.into()));
    }

    pub(super) fn dropped(&mut self, section: &Section<'_>, key: &str, message: impl Into<String>) {
        let finding = section.finding(key, message.into());
        self.not_carried_over.push(finding);
    }

    pub(super) fn add_task(
        &mut self,
        section: &Section<'_>,
        key: &str,
        message: impl Into<String>,
    ) {
        self.to_do.push(section.finding(key, message.into()));
    }

    /// Adds notes for the keys that are in `table`, and for those that were not read. Must be called last for a section.
    pub(super) fn drop_rest(&mut self, section: &Section<'_>, table: &[(&str, &str)]) {
        for (key, message) in table {
            if section.has(key) {
                self.dropped(section, key, *message);
            }
        }
        for key in section.unread_keys() {
            let message = "is unknown to this command: check what it was for";
            self.dropped(section, &key, message);
        }
    }

    /// Sorts the notes by the lines of the settings.
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
