//! The Principal of a statement or a grant, and how it matches a caller.

use super::document::{OneOrMany, PrincipalText};
use super::request::Who;
use crate::simulator::wire::names::{account_of, is_service};

/// How a principal element matches a caller, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::simulator) enum Reach {
    No,
    /// By its account: an identity policy must allow the action too.
    Account,
    /// By its own name, the name of its role, or a star.
    Direct,
}

/// The callers that a statement applies to.
#[derive(Debug)]
pub(super) enum Principals {
    /// These principals.
    Named(Vec<String>),
    /// All but these principals.
    AllBut(Vec<String>),
    /// The owner of an identity policy.
    Owner,
}

impl Principals {
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
            true => Err("it names no principal".to_owned()),
            false => Ok(names),
        }
    }

    /// Returns how it matches a caller. As at AWS, a Deny with NotPrincipal spares a caller only if its user or session, role and account are
    /// all listed. An Allow with NotPrincipal excludes a caller if any of them is listed.
    pub(super) fn reach(&self, who: &Who<'_>, allows: bool) -> Reach {
        let is_named =
            |name: &str, list: &[String]| list.iter().any(|named| named == name || named == "*");
        match self {
            Self::Owner => Reach::Direct,
            Self::Named(names) => names
                .iter()
                .map(|name| reach(name, who))
                .max()
                .unwrap_or(Reach::No),
            Self::AllBut(names) if allows => {
                match names.iter().all(|name| reach(name, who) == Reach::No) {
                    true => Reach::Direct,
                    false => Reach::No,
                }
            }
            Self::AllBut(names) => {
                let account = root_of(who);
                let is_account =
                    is_named(&account, names) || is_named(who.account, names) || who.is_service;
                match is_named(who.principal, names) && is_named(&who.arn, names) && is_account {
                    true => Reach::No,
                    false => Reach::Direct,
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
            "{name} has a wildcard, which is not one in a principal"
        )),
        "AWS" if is_account || account_of(name).is_some() => Ok(()),
        "Service" if is_service(name) => Ok(()),
        "AWS" | "Service" => Err(format!("{name} is not a principal")),
        _ => Err(format!(
            "principals of the kind {kind} are not evaluated by the simulator"
        )),
    }
}

/// Returns how a name matches a caller.
pub(in crate::simulator) fn reach(named: &str, who: &Who<'_>) -> Reach {
    if named == "*" || named == who.principal || named == who.arn {
        return Reach::Direct;
    }
    let is_account = !who.is_service && (named == who.account || named == root_of(who));
    match is_account {
        true => Reach::Account,
        false => Reach::No,
    }
}

/// Returns the ARN of the caller's account.
fn root_of(who: &Who<'_>) -> String {
    let partition = who.principal.split(':').nth(1).unwrap_or("aws");
    format!("arn:{partition}:iam::{}:root", who.account)
}

/// Returns the ARN of the role of a session, without the role's path.
pub(in crate::simulator) fn role_of(principal: &str) -> Option<String> {
    let account = account_of(principal)?;
    let (head, session) = principal.split_once(":assumed-role/")?;
    let (partition, (role, _)) = (head.split(':').nth(1)?, session.split_once('/')?);
    Some(format!("arn:{partition}:iam::{account}:role/{role}"))
}
