//! The policy language of IAM, for key policies and identity policies.
//!
//! # Invariants
//! - A policy with an element that the simulator does not evaluate is rejected when it is parsed.
//! - A statement with Deny overrides all statements with Allow.

mod condition;
mod context_key;
mod document;
mod operator;
mod pattern;
mod principal;
mod request;

use std::borrow::Cow;

use serde_json::json;

pub(super) use context_key::ContextKey;
pub(super) use principal::{PrincipalMatch, principal_match, role_of};
pub(super) use request::{
    ConfiguredValues, GrantProperties, KeyProperties, Pairs, PolicyCaller, PolicyRequest,
    RequestDetails, found as value_of,
};

pub(super) use document::{PolicyDocument, UniqueMembers};

use condition::PolicyCondition;
use document::{OneOrMany, StatementText};
use pattern::{PolicyPattern, matches};
use principal::PrincipalElement;

/// The kind of resource that a policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PolicyKind {
    /// A key. The statements name principals.
    Key,
    /// A user or a role.
    Identity,
}

/// A policy.
#[derive(Debug)]
pub(super) struct IamPolicy {
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    allows: bool,
    principals: PrincipalElement,
    actions: NameSet,
    resources: NameSet,
    conditions: Vec<PolicyCondition>,
}

/// A set of actions or resources: the listed names, or all other names.
#[derive(Debug)]
struct NameSet {
    is_negated: bool,
    names: Vec<PolicyPattern>,
}

/// The result of a policy for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PolicyDecision {
    /// The policy allows the account of the caller. An identity policy must allow the action as well.
    AccountAllowed,
    Allowed,
    Denied,
    NotApplicable,
}

impl IamPolicy {
    /// Parses a policy. The error is the reason why it is invalid.
    pub(super) fn parse(text: &str, kind: PolicyKind) -> Result<Self, String> {
        let document: PolicyDocument = serde_json::from_str(text)
            .map_err(|error| format!("it is not a policy in JSON: {error}"))?;
        Self::read(document, kind)
    }

    /// Converts a parsed JSON document. The error is the reason why it is invalid.
    pub(super) fn read(document: PolicyDocument, kind: PolicyKind) -> Result<Self, String> {
        let has_variables = match document.version.as_deref() {
            Some("2012-10-17") => true,
            None | Some("2008-10-17") => false,
            Some(_) => return Err("its Version is not 2012-10-17".to_owned()),
        };
        let statements = (1..).zip(document.statement.0).map(|(number, text)| {
            let name = text
                .sid
                .clone()
                .map_or_else(|| number.to_string(), |sid| format!("{sid:?}"));
            Statement::read(text, kind, has_variables)
                .map_err(|reason| format!("statement {name}: {reason}"))
        });
        Ok(Self {
            statements: statements.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the decision of the policy for a request.
    pub(super) fn evaluate(&self, request: &PolicyRequest<'_>) -> PolicyDecision {
        let action = full_name(request.action);
        let mut decision = PolicyDecision::NotApplicable;
        for statement in &self.statements {
            match (
                statement.principal_match(request, &action),
                statement.allows,
                decision,
            ) {
                (PrincipalMatch::None, ..) => {}
                (_, false, _) => return PolicyDecision::Denied,
                (PrincipalMatch::Account, true, PolicyDecision::NotApplicable) => {
                    decision = PolicyDecision::AccountAllowed
                }
                (PrincipalMatch::Account, true, _) => {}
                (PrincipalMatch::Direct, true, _) => decision = PolicyDecision::Allowed,
            }
        }
        decision
    }
}

impl Statement {
    fn read(text: StatementText, kind: PolicyKind, has_variables: bool) -> Result<Self, String> {
        let allows = match text.effect.as_str() {
            "Allow" => true,
            "Deny" => false,
            _ => return Err("its Effect is neither Allow nor Deny".to_owned()),
        };
        let principals = match (kind, text.principal, text.not_principal) {
            (PolicyKind::Identity, None, None) => PrincipalElement::Owner,
            (PolicyKind::Key, Some(named), None) => {
                PrincipalElement::Named(PrincipalElement::names(named)?)
            }
            (PolicyKind::Key, None, Some(excepted)) => {
                PrincipalElement::AllBut(PrincipalElement::names(excepted)?)
            }
            (PolicyKind::Identity, ..) => {
                return Err("an identity policy has no Principal".to_owned());
            }
            (PolicyKind::Key, ..) => {
                return Err("one of Principal and NotPrincipal is needed".to_owned());
            }
        };
        let actions = NameSet::read(text.action, text.not_action, "Action", |name| {
            PolicyPattern::parse(action(name)?, true, false)
        })?;
        let resources = NameSet::read(text.resource, text.not_resource, "Resource", |name| {
            let resource = PolicyPattern::parse(name, true, has_variables)?;
            let is_arn = name == "*" || name.starts_with("arn:");
            is_arn
                .then_some(resource)
                .ok_or_else(|| format!("the resource {name} is neither * nor an ARN"))
        })?;
        let conditions = text
            .condition
            .map(|text| PolicyCondition::read(text, has_variables));
        Ok(Self {
            allows,
            principals,
            actions,
            resources,
            conditions: conditions.transpose()?.unwrap_or_default(),
        })
    }

    /// Returns how the statement matches the caller, if it applies to the request.
    fn principal_match(&self, request: &PolicyRequest<'_>, action: &str) -> PrincipalMatch {
        let principal_match = self
            .principals
            .principal_match(&request.caller, self.allows);
        let applies = principal_match != PrincipalMatch::None
            && self.actions.include(action, true, request, self.allows)
            && self
                .resources
                .include(request.resource, false, request, self.allows)
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(request, self.allows));
        if applies {
            principal_match
        } else {
            PrincipalMatch::None
        }
    }
}

impl NameSet {
    fn read(
        these: Option<OneOrMany<String>>,
        all_but: Option<OneOrMany<String>>,
        member: &str,
        read: impl Fn(&str) -> Result<PolicyPattern, String>,
    ) -> Result<Self, String> {
        let (is_negated, OneOrMany(names)) = match (these, all_but) {
            (Some(names), None) => (false, names),
            (None, Some(names)) => (true, names),
            _ => return Err(format!("one of {member} and Not{member} is needed")),
        };
        if names.is_empty() {
            return Err(format!("its {member} is empty"));
        }
        let names = names
            .iter()
            .map(|name| read(name))
            .collect::<Result<_, _>>()?;
        Ok(Self { is_negated, names })
    }

    /// Returns whether the set includes a name. An Allow with an unresolved variable includes nothing.
    fn include(
        &self,
        name: &str,
        ignores_case: bool,
        request: &PolicyRequest<'_>,
        allows: bool,
    ) -> bool {
        let is_match =
            |pattern: &PolicyPattern| Some(matches(&pattern.expand(request)?, name, ignores_case));
        let results: Vec<_> = self.names.iter().map(is_match).collect();
        let is_void = allows && results.contains(&None);
        !is_void && results.contains(&Some(true)) != self.is_negated
    }
}

/// Returns an action with its service. The service is `kms` unless the action already has one.
pub(super) fn full_name(action: &str) -> Cow<'_, str> {
    match action.contains(':') {
        true => Cow::Borrowed(action),
        false => Cow::Owned(format!("kms:{action}")),
    }
}

/// Checks the form of an action in a policy: a service and a name, or a star.
fn action(name: &str) -> Result<&str, String> {
    let is_word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'*' | b'?'))
    };
    let is_action = name == "*"
        || name
            .split_once(':')
            .is_some_and(|(service, action)| is_word(service) && is_word(action));
    is_action
        .then_some(name)
        .ok_or_else(|| format!("{name} is not an action"))
}

/// Returns the policy of a key that was created without one. `root` is the ARN of the root user of its account.
pub(super) fn default_policy(root: &str) -> String {
    let policy = json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": root },
            "Action": "kms:*",
            "Resource": "*",
        }],
    });
    policy.to_string()
}

#[cfg(test)]
mod tests;
