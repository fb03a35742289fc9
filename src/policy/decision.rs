//! The decision about a request.

use std::fmt;

/// The effect of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyMode {
    /// The request is rejected.
    Enforce,
    /// The request is served. The denial is recorded.
    Observe,
}

/// The decision about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// True if the request may continue. Always true in mode "observe".
    pub is_allowed: bool,
    /// The outcome of the rules, independent of the mode.
    pub outcome: PolicyOutcome,
    /// The `@id`s of the rules that decided. Empty when no rule permitted the request.
    pub policies: Vec<String>,
}

/// The outcome of the rules for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyOutcome {
    /// A rule permits the request and none forbids it.
    Permitted,
    /// A rule forbids the request.
    Forbidden,
    /// No rule permits the request.
    NotPermitted,
    /// A rule that forbids could not be evaluated, or the request cannot be expressed in Cedar.
    Unclear,
}

/// An outcome, and the names of the rules that decided.
pub(super) type Evaluation = (PolicyOutcome, Vec<String>);

impl PolicyOutcome {
    /// Returns the outcome's name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Forbidden => "forbidden",
            Self::NotPermitted => "not permitted",
            Self::Unclear => "unclear",
        }
    }
}

impl Decision {
    /// Returns whether a rule permits the request and none forbids it.
    pub fn is_permitted(&self) -> bool {
        self.outcome == PolicyOutcome::Permitted
    }
}

impl fmt::Display for Decision {
    /// Writes the outcome and the rules that decided, for the operator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy: {}", self.outcome.as_str())?;
        match self.policies.is_empty() {
            true => Ok(()),
            false => write!(f, " by {}", self.policies.join(", ")),
        }
    }
}
