//! Policies in IAM's language: those of keys and those of principals.
//!
//! # Invariants
//! - What is not understood is an error when a policy is read, and never an allow.
//! - A statement that denies wins over all that allow.

mod condition;
mod context_key;
mod document;
mod operator;
mod principal;
mod request;
mod template;

use std::borrow::Cow;

use serde_json::json;

pub(super) use context_key::Key as ContextKey;
pub(super) use principal::{Reach, reach, role_of};
pub(super) use request::{
    Details, Given, GrantFacts, KeyFacts, Pairs, Request, Who, found as value_of,
};

pub(super) use document::{Document, Unique};

use condition::Condition;
use document::{OneOrMany, StatementText};
use principal::Principals;
use template::{Template, matches};

/// What a policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PolicyKind {
    /// A key: the statements name principals.
    Key,
    /// A user or a role.
    Identity,
}

/// A policy.
#[derive(Debug)]
pub(super) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    allows: bool,
    principals: Principals,
    actions: Names,
    resources: Names,
    conditions: Vec<Condition>,
}

/// Actions or resources: these, or all but these.
#[derive(Debug)]
struct Names {
    is_negated: bool,
    names: Vec<Template>,
}

/// The result of a policy for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The account of the caller is allowed: an identity policy must allow the action too.
    AccountAllowed,
    Allowed,
    Denied,
    Silent,
}

impl Policy {
    /// The policy, or what is wrong with it.
    pub(super) fn parse(text: &str, kind: PolicyKind) -> Result<Self, String> {
        let document: Document = serde_json::from_str(text)
            .map_err(|error| format!("it is not a policy in JSON: {error}"))?;
        Self::read(document, kind)
    }

    /// The policy of a text that was read as JSON, or what is wrong with it.
    pub(super) fn read(document: Document, kind: PolicyKind) -> Result<Self, String> {
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
                .map_err(|why| format!("statement {name}: {why}"))
        });
        Ok(Self {
            statements: statements.collect::<Result<_, _>>()?,
        })
    }

    /// Returns whether it allows or denies a request.
    pub(super) fn judge(&self, request: &Request<'_>) -> Verdict {
        let action = full_name(request.action);
        let mut verdict = Verdict::Silent;
        for statement in &self.statements {
            match (statement.reach(request, &action), statement.allows, verdict) {
                (Reach::No, ..) => {}
                (_, false, _) => return Verdict::Denied,
                (Reach::Account, true, Verdict::Silent) => verdict = Verdict::AccountAllowed,
                (Reach::Account, true, _) => {}
                (Reach::Direct, true, _) => verdict = Verdict::Allowed,
            }
        }
        verdict
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
            (PolicyKind::Identity, None, None) => Principals::Owner,
            (PolicyKind::Key, Some(named), None) => Principals::Named(Principals::names(named)?),
            (PolicyKind::Key, None, Some(excepted)) => {
                Principals::AllBut(Principals::names(excepted)?)
            }
            (PolicyKind::Identity, ..) => {
                return Err("an identity policy has no Principal".to_owned());
            }
            (PolicyKind::Key, ..) => {
                return Err("one of Principal and NotPrincipal is needed".to_owned());
            }
        };
        let actions = Names::read(text.action, text.not_action, "Action", |name| {
            Template::parse(action(name)?, true, false)
        })?;
        let resources = Names::read(text.resource, text.not_resource, "Resource", |name| {
            let resource = Template::parse(name, true, has_variables)?;
            let is_arn = name == "*" || name.starts_with("arn:");
            is_arn
                .then_some(resource)
                .ok_or_else(|| format!("the resource {name} is neither * nor an ARN"))
        })?;
        let conditions = text
            .condition
            .map(|text| Condition::read(text, has_variables));
        Ok(Self {
            allows,
            principals,
            actions,
            resources,
            conditions: conditions.transpose()?.unwrap_or_default(),
        })
    }

    /// Returns how it matches the caller, if it applies to the request.
    fn reach(&self, request: &Request<'_>, action: &str) -> Reach {
        let reach = self.principals.reach(&request.who, self.allows);
        let applies = reach != Reach::No
            && self.actions.include(action, true, request, self.allows)
            && self
                .resources
                .include(request.resource, false, request, self.allows)
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(request, self.allows));
        if applies { reach } else { Reach::No }
    }
}

impl Names {
    fn read(
        these: Option<OneOrMany<String>>,
        all_but: Option<OneOrMany<String>>,
        member: &str,
        read: impl Fn(&str) -> Result<Template, String>,
    ) -> Result<Self, String> {
        let (is_negated, OneOrMany(names)) = match (these, all_but) {
            (Some(names), None) => (false, names),
            (None, Some(names)) => (true, names),
            _ => return Err(format!("one of {member} and Not{member} is needed")),
        };
        if names.is_empty() {
            return Err(format!("its {member} names nothing"));
        }
        let names = names
            .iter()
            .map(|name| read(name))
            .collect::<Result<_, _>>()?;
        Ok(Self { is_negated, names })
    }

    /// Returns whether they include a name. With an unresolved variable an Allow does not apply.
    fn include(&self, name: &str, ignores_case: bool, request: &Request<'_>, allows: bool) -> bool {
        let is_match =
            |template: &Template| Some(matches(&template.expand(request)?, name, ignores_case));
        let results: Vec<_> = self.names.iter().map(is_match).collect();
        let is_void = allows && results.contains(&None);
        !is_void && results.contains(&Some(true)) != self.is_negated
    }
}

/// The name of an action in policies: an action of KMS unless it names its service.
pub(super) fn full_name(action: &str) -> Cow<'_, str> {
    match action.contains(':') {
        true => Cow::Borrowed(action),
        false => Cow::Owned(format!("kms:{action}")),
    }
}

/// An action as text: a service and a name, or a star.
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

/// The policy of a key that was made without one. `root` is the ARN of its account as a principal.
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
