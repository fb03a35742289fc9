//! The report of a probe: one line per check.

use serde::Serialize;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// No action is needed.
    Ok,
    /// The check could not run because an earlier check failed.
    Skipped,
    /// KMS can use the endpoint, but AWS recommends a change, or it will stop working soon.
    Warn,
    /// KMS cannot use the endpoint.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The name of the check: one or two words.
    pub name: &'static str,
    /// The result.
    pub result: CheckResult,
    /// The finding. Never a secret.
    pub finding: String,
    /// The action for the operator; none if no action is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
}

/// All checks, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Check {
    /// Returns a check that needs no action.
    pub fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        let (result, finding) = (CheckResult::Ok, finding.into());
        Self {
            name,
            result,
            finding,
            action: None,
        }
    }

    /// Returns a check that needs attention, although KMS can use the endpoint.
    pub fn warn(name: &'static str, finding: impl Into<String>, action: &'static str) -> Self {
        let (result, finding) = (CheckResult::Warn, finding.into());
        Self {
            name,
            result,
            finding,
            action: Some(action),
        }
    }

    /// Returns a check because of which KMS cannot use the endpoint.
    pub fn fail(name: &'static str, finding: impl Into<String>, action: &'static str) -> Self {
        let (result, finding) = (CheckResult::Fail, finding.into());
        Self {
            name,
            result,
            finding,
            action: Some(action),
        }
    }

    /// Returns a check that could not run.
    pub fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        let (result, finding) = (CheckResult::Skipped, why.into());
        Self {
            name,
            result,
            finding,
            action: None,
        }
    }
}

impl Report {
    /// Counts the checks with this result.
    pub fn count(&self, result: CheckResult) -> usize {
        let checks = self.checks.iter();
        checks.filter(|check| check.result == result).count()
    }

    /// Returns whether KMS can use the endpoint, as far as the checks show.
    pub fn is_ready(&self) -> bool {
        self.count(CheckResult::Fail) == 0
    }
}
