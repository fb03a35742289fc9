//! A case: a requirement of the specification, and its check.

use std::time::{Duration, Instant};

use super::case_error::{CaseError, StepResult};
use super::context::{Context, Exchange};
use super::target::Target;

/// The requirement level (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A failure fails the proxy.
    Must,
    /// A failure is a warning.
    Should,
}

impl Severity {
    /// Returns the RFC 2119 keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

/// A requirement and its check.
pub struct Case {
    /// The id, for `--only` and reports.
    pub id: String,
    /// The section of the specification.
    pub section: &'static str,
    /// The requirement level.
    pub severity: Severity,
    /// A description of the request.
    pub sent: String,
    /// A description of the expected response.
    pub expected: String,
    run: Box<dyn Fn(&Context<'_>) -> StepResult>,
}

/// The outcome of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The proxy conforms.
    Passed,
    /// The proxy does not conform; with the reason.
    Failed(String),
    /// The case did not run; with the reason.
    Skipped(String),
}

/// The result of a case.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// The id of the case.
    pub id: String,
    /// The section of the specification.
    pub section: &'static str,
    /// The requirement level.
    pub severity: Severity,
    /// The description of the request.
    pub sent: String,
    /// The description of the expected response.
    pub expected: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The requests with their responses.
    pub exchanges: Vec<Exchange>,
    /// The duration of the case.
    pub took: Duration,
}

impl Case {
    /// Returns the same case as a SHOULD.
    pub(super) fn advised(self) -> Self {
        Self {
            severity: Severity::Should,
            ..self
        }
    }

    /// Runs the case.
    pub fn run(&self, target: &Target) -> CaseResult {
        let (context, start) = (Context::new(target), Instant::now());
        let outcome = match (self.run)(&context) {
            Ok(()) => Outcome::Passed,
            Err(CaseError::Violation(how)) => Outcome::Failed(how),
            Err(CaseError::Skipped(why)) => Outcome::Skipped(why),
        };
        CaseResult {
            id: self.id.clone(),
            section: self.section,
            severity: self.severity,
            sent: self.sent.clone(),
            expected: self.expected.clone(),
            outcome,
            exchanges: context.exchanges(),
            took: start.elapsed(),
        }
    }
}

pub(super) fn must(
    section: &'static str,
    id: impl Into<String>,
    sent: impl Into<String>,
    expected: impl Into<String>,
    run: impl Fn(&Context<'_>) -> StepResult + 'static,
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
    run: impl Fn(&Context<'_>) -> StepResult + 'static,
) -> Case {
    must(section, id, sent, expected, run).advised()
}
