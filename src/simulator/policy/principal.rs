//! The principals of statements and grants, and how they match a caller.

use super::document::{OneOrMany, PrincipalText};
use super::request::PolicyCaller;
use crate::simulator::wire::names::{account_of, is_service};

/// The way in which a principal matches a caller, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::simulator) enum PrincipalMatch {
    None,
    /// The account of the caller matches. An identity policy must allow the action as well.
    Account,
    /// The principal, its role or a star matches.
    Direct,
}

/// The callers that a statement applies to.
#[derive(Debug)]
pub(super) enum PrincipalElement {
    /// The listed principals.
    Named(Vec<String>),
    /// All principals except the listed ones.
    AllBut(Vec<String>),
    /// The owner of an identity policy.
    Owner,
}

impl PrincipalElement {
    /// Parses the principals of a statement.
    pub(super) fn names(text: PrincipalText) -> Result<Vec<String>, String> {
        let kinds = match text {
            PrincipalText::Text(star) if star == "*" => return Ok(vec![star]),
            PrincipalText::Text(other) => {
                return Err(format!("the principal {other} is neither * nor an object"));
            }
            PrincipalText::Kinds(kinds) => kinds,
        };
        let mut names = Vec::new();
        for (kind, OneOrMany(found)) in kinds.0 {
            for name in found {
                check(&kind, &name)?;
                names.push(name);
            }
        }
        match names.is_empty() {
            true => Err("it has no principal".to_owned()),
            false => Ok(names),
        }
    }

    /// Returns how the element matches a caller. As in AWS, a Deny with NotPrincipal exempts a caller only if its user or session, its role
    /// and its account are all listed. An Allow with NotPrincipal excludes a caller if any of them is listed.
    pub(super) fn principal_match(
        &self,
        caller: &PolicyCaller<'_>,
        allows: bool,
    ) -> PrincipalMatch {
        let is_named =
            |name: &str, list: &[String]| list.iter().any(|named| named == name || named == "*");
        match self {
            Self::Owner => PrincipalMatch::Direct,
            Self::Named(names) => names
                .iter()
                .map(|name| principal_match(name, caller))
                .max()
                .unwrap_or(PrincipalMatch::None),
            Self::AllBut(names) if allows => {
                match names
                    .iter()
                    .all(|name| principal_match(name, caller) == PrincipalMatch::None)
                {
                    true => PrincipalMatch::Direct,
                    false => PrincipalMatch::None,
                }
            }
            Self::AllBut(names) => {
                let account = root_of(caller);
                let is_account = is_named(&account, names)
                    || is_named(caller.account, names)
                    || caller.is_service;
                match is_named(caller.principal, names)
                    && is_named(&caller.arn, names)
                    && is_account
                {
                    true => PrincipalMatch::None,
                    false => PrincipalMatch::Direct,
                }
            }
        }
    }
}

fn check(kind: &str, name: &str) -> Result<(), String> {
    let is_account = name.len() == 12 && name.bytes().all(|b| b.is_ascii_digit());
    match kind {
        "AWS" if name == "*" => Ok(()),
        "AWS" if name.contains(['*', '?']) => Err(format!(
            "{name} has a wildcard, but principals cannot have wildcards"
        )),
        "AWS" if is_account || account_of(name).is_some() => Ok(()),
        "Service" if is_service(name) => Ok(()),
        "AWS" | "Service" => Err(format!("{name} is not a principal")),
        _ => Err(format!(
            "the simulator does not evaluate principals of the kind {kind}"
        )),
    }
}

/// Returns how a name matches a caller.
pub(in crate::simulator) fn principal_match(
    named: &str,
    caller: &PolicyCaller<'_>,
) -> PrincipalMatch {
    if named == "*" || named == caller.principal || named == caller.arn {
        return PrincipalMatch::Direct;
    }
    let is_account = !caller.is_service && (named == caller.account || named == root_of(caller));
    match is_account {
        true => PrincipalMatch::Account,
        false => PrincipalMatch::None,
    }
}

/// Returns the ARN of the caller's account.
fn root_of(caller: &PolicyCaller<'_>) -> String {
    let partition = caller.principal.split(':').nth(1).unwrap_or("aws");
    format!("arn:{partition}:iam::{}:root", caller.account)
}

/// Returns the ARN of the role of a session, without the role's path.
pub(in crate::simulator) fn role_of(principal: &str) -> Option<String> {
    let account = account_of(principal)?;
    let (head, session) = principal.split_once(":assumed-role/")?;
    let (partition, (role, _)) = (head.split(':').nth(1)?, session.split_once('/')?);
    Some(format!("arn:{partition}:iam::{account}:role/{role}"))
}
