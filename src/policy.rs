//! Secondary authorization (XKS API, "Authorization"): a policy in Cedar, AWS's own policy language, decides whether a verified request may
//! use a key. The file `config/policy/schema.cedarschema` defines what policies can refer to.
//!
//! # Invariants
//! - With a policy, a request is denied unless a rule permits it. A rule that forbids overrides every rule that permits.
//! - A rule that cannot be evaluated (it reads a field that the request does not have) permits nothing. If such a rule forbids, the request is
//!   denied: its author meant to deny something.
//! - The client learns that the request was denied, not which rules decided. Only the operator sees their names.

mod cache;
mod checks;
mod decision;
mod load;
mod principal;
mod request;
mod roles;
mod source;

use std::fmt;
use std::sync::Arc;

use cedar_policy::{Authorizer, PolicyId, PolicySet};
use prometheus::IntCounterVec;
use sha2::{Digest, Sha256};

pub use checks::Names;
pub use decision::{Decision, PolicyMode, PolicyOutcome};
pub use load::SCHEMA;
pub use request::{Action, AuthorizationRequest, Transport};
pub use source::{PolicyError, PolicySource, PolicyWarning};

use cache::DecisionCache;
use checks::Literal;
use decision::Evaluation;
use roles::Roles;

use crate::metrics::{Metrics, MetricsError};

/// A set of rules, parsed and validated.
#[derive(Clone)]
pub struct Policy {
    rules: Arc<PolicySet>,
    literals: Arc<Vec<Literal>>,
    roles: Arc<Roles>,
    cache: Arc<DecisionCache>,
    mode: PolicyMode,
    /// The SHA-256 of the names and texts of all files.
    digest: [u8; 32],
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
        self.mode == other.mode && self.digest == other.digest
    }
}

impl Policy {
    /// Loads the rules of these files. Also returns warnings about rules that can have no effect.
    ///
    /// # Errors
    /// Every error of every file: wrong syntax, duplicate names, and what the schema does not allow.
    pub fn load(
        sources: &[PolicySource],
        mode: PolicyMode,
    ) -> Result<(Self, Vec<PolicyWarning>), Vec<PolicyError>> {
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
            cache: Arc::new(DecisionCache::for_rules(&rules)),
            roles: Arc::new(Roles::of(literals.iter().map(|(_, uid)| uid))),
            literals: Arc::new(literals),
            rules: Arc::new(rules),
            mode,
            digest: digest.finalize().into(),
        };
        Ok((policy, warnings))
    }

    /// Returns a warning for each name in the rules that cannot exist in a configuration with these names.
    pub fn unknown_names(&self, names: &Names) -> Vec<PolicyWarning> {
        checks::unknown_names(&self.rules, &self.literals, names)
    }

    /// Returns the names of the rules that compare the result of client authentication with any value except `off`.
    pub fn rules_about_client_certificates(&self) -> Vec<String> {
        checks::about_client_certificates(&self.rules)
    }

    /// Returns the number of rules.
    pub fn len(&self) -> usize {
        self.rules.policies().count()
    }

    /// Returns whether the policy has no rules. Such a policy denies every request.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decides. A request that cannot be expressed in Cedar is denied.
    pub fn decide(&self, request: &AuthorizationRequest<'_>) -> Decision {
        let (outcome, policies) = self.cache.get(request, || self.evaluate(request));
        Decision {
            is_allowed: outcome == PolicyOutcome::Permitted || self.mode == PolicyMode::Observe,
            outcome,
            policies,
        }
    }

    fn evaluate(&self, request: &AuthorizationRequest<'_>) -> Evaluation {
        match request.cedar_request(&self.roles) {
            Some((cedar_request, entities)) => {
                let response =
                    Authorizer::new().is_authorized(&cedar_request, &self.rules, &entities);
                self.outcome(&response)
            }
            None => (PolicyOutcome::Unclear, Vec::new()),
        }
    }

    fn outcome(&self, response: &cedar_policy::Response) -> Evaluation {
        let unclear: Vec<String> = response
            .diagnostics()
            .errors()
            .filter_map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                    self.name_if_forbids(error.policy_id())
                }
            })
            .collect();
        let reasons = || response.diagnostics().reason().map(ToString::to_string);
        let mut policies: Vec<String> = reasons().collect();
        policies.sort_unstable();
        match response.decision() {
            cedar_policy::Decision::Allow if unclear.is_empty() => {
                (PolicyOutcome::Permitted, policies)
            }
            cedar_policy::Decision::Deny if !policies.is_empty() => {
                (PolicyOutcome::Forbidden, policies)
            }
            _ if !unclear.is_empty() => (PolicyOutcome::Unclear, unclear),
            _ => (PolicyOutcome::NotPermitted, Vec::new()),
        }
    }

    /// Returns the name of the rule if it is a rule that forbids.
    fn name_if_forbids(&self, id: &PolicyId) -> Option<String> {
        let rule = self.rules.policy(id)?;
        (rule.effect() == cedar_policy::Effect::Forbid).then(|| id.to_string())
    }
}

/// The metric of policy decisions.
#[derive(Clone)]
pub struct PolicyMetrics {
    decisions: IntCounterVec,
}

impl PolicyMetrics {
    /// Declares the metric.
    ///
    /// # Errors
    /// [`MetricsError`] when the name is already declared.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            decisions: metrics.counter(
                "xks_policy_decisions_total",
                "Decisions of the authorization policy: allowed, denied, or would_deny for a request that mode observe let through.",
                &["store", "decision"],
            )?,
        })
    }

    /// Counts a decision.
    pub fn count(&self, store: &str, decision: &Decision) {
        let name = match (decision.outcome, decision.is_allowed) {
            (PolicyOutcome::Permitted, _) => "allowed",
            (_, true) => "would_deny",
            (_, false) => "denied",
        };
        self.decisions.with_label_values(&[store, name]).inc();
    }
}

#[cfg(test)]
mod tests;
