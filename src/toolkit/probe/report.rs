//! What the probe found: one line per check.

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// It could not be found out, because of a failure before it.
    Skipped,
    /// KMS works with it, but AWS advises otherwise or it will not last.
    Warn,
    /// KMS will not work with it.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, in a word or two.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found. Never a secret.
    pub finding: String,
    /// What to do about it; none where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

/// All checks, in the order in which they were made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Check {
    /// Nothing to do.
    pub fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        let (verdict, finding) = (Verdict::Ok, finding.into());
        Self {
            name,
            verdict,
            finding,
            remedy: None,
        }
    }

    /// KMS works with it, but.
    pub fn warn(name: &'static str, finding: impl Into<String>, remedy: &'static str) -> Self {
        let (verdict, finding) = (Verdict::Warn, finding.into());
        Self {
            name,
            verdict,
            finding,
            remedy: Some(remedy),
        }
    }

    /// KMS will not work with it.
    pub fn fail(name: &'static str, finding: impl Into<String>, remedy: &'static str) -> Self {
        let (verdict, finding) = (Verdict::Fail, finding.into());
        Self {
            name,
            verdict,
            finding,
            remedy: Some(remedy),
        }
    }

    /// It could not be found out.
    pub fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        let (verdict, finding) = (Verdict::Skipped, why.into());
        Self {
            name,
            verdict,
            finding,
            remedy: None,
        }
    }
}

impl Report {
    /// How many checks ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        let checks = self.checks.iter();
        checks.filter(|check| check.verdict == verdict).count()
    }

    /// Whether KMS can work with the endpoint, as far as was found out.
    pub fn is_ready(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }
}
