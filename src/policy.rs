//! Secondary authorization (XKS API, "Authorization"): a policy in Cedar, AWS's own policy language, decides whether a verified request may
//! use a key. The schema of what policies may say is `config/policy/schema.cedarschema`.
//!
//! # Invariants
//! - Once there is a policy, what no rule permits is denied, and a rule that forbids outweighs every one that permits.
//! - A rule that cannot be evaluated (it asks for a field that the request does not have) permits nothing; a rule that forbids and cannot be
//!   evaluated denies: who wrote it meant to keep somebody out.
//! - What the outside learns of a denial is that it was one; which rules decided is the operator's to know.

mod checks;
mod load;
mod memory;
mod principal;
mod question;
mod roles;

use std::fmt;
use std::sync::Arc;

use cedar_policy::{Authorizer, PolicyId, PolicySet};
use prometheus::IntCounterVec;
use sha2::{Digest, Sha256};

pub use checks::Names;
pub use load::{PolicyFault, PolicySource, PolicyWarning, SCHEMA};
pub use question::{Action, Question, Transport};

use memory::Memory;
use checks::Literal;
use roles::Roles;

use crate::metrics::{Metrics, MetricsError};

/// What becomes of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyMode {
    /// The request is refused.
    Enforce,
    /// The request is served; what would have been denied is recorded.
    Observe,
}

/// A set of rules, parsed and validated.
#[derive(Clone)]
pub struct Policy {
    rules: Arc<PolicySet>,
    literals: Arc<Vec<Literal>>,
    roles: Arc<Roles>,
    memory: Arc<Memory>,
    mode: PolicyMode,
    made_of: [u8; 32],
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("rules", &self.rules.policies().count())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.mode == other.mode && self.made_of == other.made_of
    }
}

/// What the rules say of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request may go on; in mode "observe" always.
    pub is_allowed: bool,
    /// What the rules say.
    pub verdict: Verdict,
    /// The `@id`s of the rules that decided; none when no rule permitted.
    pub policies: Vec<String>,
}

/// See [`Decision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A rule permits it and none forbids it.
    Permitted,
    /// A rule forbids it.
    Forbidden,
    /// No rule permits it.
    NotPermitted,
    /// A rule that forbids could not be evaluated.
    Unclear,
}

impl Verdict {
    /// For logs.
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
    /// Whether a rule permits the request and none forbids it.
    pub fn is_permitted(&self) -> bool {
        self.verdict == Verdict::Permitted
    }
}

impl fmt::Display for Decision {
    /// For the operator: the verdict and the rules that it comes from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy: {}", self.verdict.as_str())?;
        match self.policies.is_empty() {
            true => Ok(()),
            false => write!(f, " by {}", self.policies.join(", ")),
        }
    }
}

impl Policy {
    /// The rules in these files.
    ///
    /// # Errors
    /// Every fault of every file: syntax, names twice, and what the schema does not allow.
    pub fn load(
        sources: &[PolicySource],
        mode: PolicyMode,
    ) -> Result<(Self, Vec<PolicyWarning>), Vec<PolicyFault>> {
        let (rules, warnings) = load::rules(sources)?;
        let mut digest = Sha256::new();
        for PolicySource { name, text } in sources {
            for part in [name, text] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        let literals = checks::literals(&rules);
        let policy = Self {
            memory: Arc::new(Memory::of(&rules)),
            roles: Arc::new(Roles::of(literals.iter().map(|(_, uid)| uid))),
            literals: Arc::new(literals),
            rules: Arc::new(rules),
            mode,
            made_of: digest.finalize().into(),
        };
        Ok((policy, warnings))
    }

    /// What the rules name that cannot exist in a configuration with these names.
    pub fn unknown_names(&self, names: &Names) -> Vec<PolicyWarning> {
        checks::unknown_names(&self.rules, &self.literals, names)
    }

    /// The names of the rules that compare the result of client authentication with anything but `off`.
    pub fn rules_about_client_certificates(&self) -> Vec<String> {
        checks::about_client_certificates(&self.rules)
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.policies().count()
    }

    /// Whether there are none: then everything is denied.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decides. A question that cannot be put into Cedar's terms is denied.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let (verdict, policies) = self.memory.recall(question, || self.ask(question));
        Decision {
            is_allowed: verdict == Verdict::Permitted || self.mode == PolicyMode::Observe,
            verdict,
            policies,
        }
    }

    fn ask(&self, question: &Question<'_>) -> (Verdict, Vec<String>) {
        match question.ask(&self.roles) {
            Some((request, entities)) => {
                let response = Authorizer::new().is_authorized(&request, &self.rules, &entities);
                self.verdict(&response)
            }
            None => (Verdict::Unclear, Vec::new()),
        }
    }

    fn verdict(&self, response: &cedar_policy::Response) -> (Verdict, Vec<String>) {
        let unclear: Vec<String> = response
            .diagnostics()
            .errors()
            .filter_map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                    self.forbids(error.policy_id())
                }
            })
            .collect();
        let reasons = || response.diagnostics().reason().map(ToString::to_string);
        let mut policies: Vec<String> = reasons().collect();
        policies.sort_unstable();
        match response.decision() {
            cedar_policy::Decision::Allow if unclear.is_empty() => (Verdict::Permitted, policies),
            cedar_policy::Decision::Deny if !policies.is_empty() => (Verdict::Forbidden, policies),
            _ if !unclear.is_empty() => (Verdict::Unclear, unclear),
            _ => (Verdict::NotPermitted, Vec::new()),
        }
    }

    /// The rule's name, if it is one that forbids.
    fn forbids(&self, id: &PolicyId) -> Option<String> {
        let rule = self.rules.policy(id)?;
        (rule.effect() == cedar_policy::Effect::Forbid).then(|| id.to_string())
    }
}

/// The metric of all decisions.
#[derive(Clone)]
pub struct PolicyMetrics {
    decisions: IntCounterVec,
}

impl PolicyMetrics {
    /// Declares it.
    ///
    /// # Errors
    /// [`MetricsError`] when the name is taken.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            decisions: metrics.counter(
                "xks_policy_decisions_total",
                "Decisions of the authorization policy (allowed, denied; in mode observe would_deny for what was served all the same).",
                &["store", "decision"],
            )?,
        })
    }

    /// Counts a decision.
    pub fn count(&self, store: &str, decision: &Decision) {
        let name = match (decision.verdict, decision.is_allowed) {
            (Verdict::Permitted, _) => "allowed",
            (_, true) => "would_deny",
            (_, false) => "denied",
        };
        self.decisions.with_label_values(&[store, name]).inc();
    }
}

#[cfg(test)]
mod tests;
