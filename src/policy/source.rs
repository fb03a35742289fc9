//! A policy file, and the errors and warnings about it.

use std::fmt;

/// A policy file.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// The name of the file. Errors, and the names of rules without an `@id`, contain it.
    pub name: String,
    /// The text of the file.
    pub text: String,
}

/// An error in the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError(String);

/// A warning about rules that are valid, for example about a rule that can never apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWarning(String);

impl PolicyError {
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

impl PolicyWarning {
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PolicyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
