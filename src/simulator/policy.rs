//! Key policies: a simple, honest part of IAM's language.
//!
//! Understood: Effect, Principal (AWS), Action and Resource with wildcards. Not understood: Condition, NotPrincipal, NotAction,
//! NotResource. A statement with one of those never allows, always denies, and [`Policy::not_understood`] says so.

use serde_json::Value;

use super::credentials::account_of;

/// A key policy.
#[derive(Debug)]
pub(super) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    name: String,
    allows: bool,
    principals: Vec<String>,
    actions: Vec<String>,
    resources: Vec<String>,
    /// Members that this reader does not understand.
    strange: Vec<&'static str>,
}

/// What a policy says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Denied,
    Silent,
}

/// What is said to be not understood.
const STRANGE: [&str; 4] = ["Condition", "NotPrincipal", "NotAction", "NotResource"];

impl Policy {
    /// The policy, or what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let policy: Value = serde_json::from_str(text).map_err(|_| "it is not JSON".to_owned())?;
        let version = policy.get("Version").and_then(Value::as_str);
        if !matches!(version, None | Some("2012-10-17" | "2008-10-17")) {
            return Err("its Version is not 2012-10-17".to_owned());
        }
        let statements = match policy.get("Statement") {
            Some(Value::Array(statements)) => statements.iter().collect(),
            Some(statement @ Value::Object(_)) => vec![statement],
            _ => return Err("it has no Statement".to_owned()),
        };
        let statements: Result<Vec<_>, _> = (1..).zip(statements).map(Statement::parse).collect();
        Ok(Self {
            statements: statements?,
        })
    }

    /// What it says about this principal, action (without `kms:`) and key.
    pub(super) fn judge(&self, principal: &str, action: &str, key_arn: &str) -> Verdict {
        let action = format!("kms:{action}");
        let mut verdict = Verdict::Silent;
        for statement in &self.statements {
            match (
                statement.applies(principal, &action, key_arn),
                statement.allows,
            ) {
                (true, false) => return Verdict::Denied,
                (true, true) => verdict = Verdict::Allowed,
                (false, _) => {}
            }
        }
        verdict
    }

    /// What of it is not understood, in words for an operator.
    pub(super) fn not_understood(&self) -> Vec<String> {
        let strange = self.statements.iter().filter(|s| !s.strange.is_empty());
        strange
            .map(|statement| {
                let taken = if statement.allows {
                    "allows nothing"
                } else {
                    "denies whatever else it names"
                };
                format!(
                    "statement {} has {}, which the simulator does not evaluate: it {taken}",
                    statement.name,
                    statement.strange.join(" and ")
                )
            })
            .collect()
    }
}

impl Statement {
    fn parse((number, statement): (usize, &Value)) -> Result<Self, String> {
        let name = statement.get("Sid").and_then(Value::as_str);
        let name = name.map_or_else(|| number.to_string(), |sid| format!("{sid:?}"));
        let allows = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => {
                return Err(format!(
                    "the Effect of statement {name} is neither Allow nor Deny"
                ));
            }
        };
        let has = |member: &str| statement.get(member).is_some();
        let strange: Vec<_> = STRANGE.into_iter().filter(|member| has(member)).collect();
        let texts = |member: &str| {
            let texts = statement.get(member).map_or(Some(vec![]), texts);
            let is_there = has(member) || has(&format!("Not{member}"));
            texts
                .filter(|_| is_there)
                .ok_or_else(|| format!("the {member} of statement {name} is missing, or not text"))
        };
        let principals = match statement.get("Principal") {
            None if has("NotPrincipal") => vec![],
            Some(Value::String(all)) if all == "*" => vec!["*".to_owned()],
            Some(Value::Object(kinds)) => kinds
                .get("AWS")
                .map_or(Some(vec![]), self::texts)
                .ok_or_else(|| format!("the Principal of statement {name} is not text"))?,
            _ => {
                return Err(format!(
                    "the Principal of statement {name} is missing or malformed"
                ));
            }
        };
        let (actions, resources) = (texts("Action")?, texts("Resource")?);
        Ok(Self {
            name,
            allows,
            principals,
            actions,
            resources,
            strange,
        })
    }

    /// Whether it is about this request. What is not understood makes an Allow void, and a Deny wide.
    fn applies(&self, principal: &str, action: &str, key_arn: &str) -> bool {
        if self.allows && !self.strange.is_empty() {
            return false;
        }
        let is_strange = |member: &str| self.strange.contains(&member);
        let who = is_strange("NotPrincipal")
            || self.principals.iter().any(|named| is_of(named, principal));
        let what = is_strange("NotAction")
            || self.actions.iter().any(|pattern| {
                matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
            });
        let which = is_strange("NotResource")
            || self
                .resources
                .iter()
                .any(|pattern| matches(pattern, key_arn));
        who && what && which
    }
}

/// A text, or an array of texts.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// Whether a principal is the one named, a session of the role named, or of the account named.
pub(super) fn is_of(named: &str, principal: &str) -> bool {
    let account = account_of(principal).unwrap_or("-");
    named == "*"
        || named == principal
        || named == account
        || named == format!("arn:aws:iam::{account}:root")
        || role_of(principal).is_some_and(|role| role == named)
}

/// The role of a session.
fn role_of(principal: &str) -> Option<String> {
    let account = account_of(principal)?;
    let (_, session) = principal.split_once(":assumed-role/")?;
    let (role, _) = session.split_once('/')?;
    Some(format!("arn:aws:iam::{account}:role/{role}"))
}

/// Whether a pattern with `*` and `?` matches a whole text.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on after the last star: each star is tried with one byte more when the rest does not fit.
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == text.get(t) => (p, t) = (p + 1, t + 1),
            _ => match retry {
                None => return false,
                Some((after, from)) => {
                    (p, t) = (after, from + 1);
                    retry = Some((after, from + 1));
                }
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

/// The policy of a key that was made without one. `root` is the ARN of its account as a principal.
pub(super) fn default_policy(root: &str) -> String {
    let policy = serde_json::json!({
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
