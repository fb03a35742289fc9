//! A case: what the specification asks, and how to see whether a proxy does it.

use std::time::{Duration, Instant};

use super::fault::{Fault, Judged};
use super::scene::{Exchange, Scene};
use super::target::Target;

/// How strongly the specification asks (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A failure fails the proxy.
    Must,
    /// A failure is a warning.
    Should,
}

impl Severity {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

/// A requirement, and how to try it.
pub struct Case {
    /// Its name, by which `--only` finds it.
    pub id: String,
    /// The section of the specification.
    pub section: &'static str,
    /// How strongly it is asked.
    pub severity: Severity,
    /// What is sent.
    pub sent: String,
    /// What is expected.
    pub expected: String,
    run: Box<dyn Fn(&Scene<'_>) -> Judged>,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Not as expected, and how not.
    Failed(String),
    /// Not tried, and why.
    Skipped(String),
}

/// A case and what became of it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The case's name.
    pub id: String,
    /// Its section.
    pub section: &'static str,
    /// Its severity.
    pub severity: Severity,
    /// What was sent, in words.
    pub sent: String,
    /// What was expected, in words.
    pub expected: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The requests with their answers.
    pub exchanges: Vec<Exchange>,
    /// How long it took.
    pub took: Duration,
}

impl Case {
    /// The same, asked less strongly.
    pub(super) fn advised(self) -> Self {
        Self {
            severity: Severity::Should,
            ..self
        }
    }

    /// Tries it.
    pub fn judge(&self, target: &Target) -> Verdict {
        let (scene, start) = (Scene::new(target), Instant::now());
        let outcome = match (self.run)(&scene) {
            Ok(()) => Outcome::Passed,
            Err(Fault::Violation(how)) => Outcome::Failed(how),
            Err(Fault::Skipped(why)) => Outcome::Skipped(why),
        };
        Verdict {
            id: self.id.clone(),
            section: self.section,
            severity: self.severity,
            sent: self.sent.clone(),
            expected: self.expected.clone(),
            outcome,
            exchanges: scene.exchanges(),
            took: start.elapsed(),
        }
    }
}

pub(super) fn must(
    section: &'static str,
    id: impl Into<String>,
    sent: impl Into<String>,
    expected: impl Into<String>,
    run: impl Fn(&Scene<'_>) -> Judged + 'static,
) -> Case {
    Case {
        id: id.into(),
        section,
        severity: Severity::Must,
        sent: sent.into(),
        expected: expected.into(),
        run: Box::new(run),
    }
}

pub(super) fn should(
    section: &'static str,
    id: impl Into<String>,
    sent: impl Into<String>,
    expected: impl Into<String>,
    run: impl Fn(&Scene<'_>) -> Judged + 'static,
) -> Case {
    must(section, id, sent, expected, run).advised()
}
