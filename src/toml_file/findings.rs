//! Errors and warnings of a TOML file.

use std::fmt;

use serde::Serialize;

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The path of the key, such as `server.tls.certificate` or `key_store[0].region`; empty for the whole file.
    pub key: String,
    /// The line in the file, from 1; `None` if the key is missing.
    pub line: Option<usize>,
    /// The error and the corrective action.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// All errors of a file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// One error, without a line.
    pub(crate) fn single(key: &str, message: String) -> Self {
        Self(vec![Finding {
            key: key.to_owned(),
            line: None,
            message,
        }])
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            writeln!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}
