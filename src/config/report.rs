//! What is wrong with a configuration, or remarkable about it.

use std::fmt;

use serde::Serialize;

/// One fault or warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where, such as `server.tls.certificate` or `key_store[0].region`; empty for the whole file.
    pub key: String,
    /// The line in the file, from 1; none when the key is not there at all.
    pub line: Option<usize>,
    /// What is wrong and what to do.
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

/// Every fault of a configuration, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// One fault of the whole.
    pub(super) fn single(key: &str, message: String) -> Self {
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

/// What was found of the certificate in the files, apart from what makes the whole configuration unusable.
#[derive(Clone, Debug, Default)]
pub struct CertificateReading {
    /// Why KMS would not accept the certificate that the configuration has now.
    pub problems: Vec<Finding>,
    /// Why the certificate in the files was not taken; the configuration has the one that serves.
    pub refusal: Option<CertificateRefusal>,
}

/// Why the certificate that serves was kept.
#[derive(Clone, Debug)]
pub struct CertificateRefusal {
    /// One word, for the label of a metric.
    pub reason: &'static str,
    /// The files may be about to change: one of the two is the new one already, or is being written.
    pub may_be_half_replaced: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
}
