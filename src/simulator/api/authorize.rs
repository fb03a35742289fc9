//! Authorization by the key policy, the identity policies of the caller, and grants.
//!
//! # Invariants
//! - A Deny of any policy wins, also over a grant.
//! - An identity policy allows access to a key only if the key policy allows the account or the caller.
//! - A caller of another account needs both policies, or a grant.

use crate::simulator::callers::caller::Caller;
use crate::simulator::crypto::context::Context;
use crate::simulator::policy::{Details, KeyFacts, Pairs, Reach, Request, Verdict, full_name};
use crate::simulator::state::State;
use crate::simulator::state::lookup::{Found, Names, Where, find};
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::names::alias_arn;

/// Whether the caller may do `action` (without `kms:`) with this key and this encryption context.
pub(in crate::simulator) fn authorize(
    found: &Found<'_>,
    caller: &Caller,
    action: &str,
    context: &Context,
) -> Result<(), Exception> {
    let details = Details {
        encryption_context: Some(context.pairs()),
        alias: found.alias,
        ..Details::default()
    };
    authorize_with(found, caller, action, details)
}

/// The same for a request that says more.
pub(in crate::simulator) fn authorize_with(
    found: &Found<'_>,
    caller: &Caller,
    action: &str,
    details: Details<'_>,
) -> Result<(), Exception> {
    if !caller.is_named && caller.account == found.account {
        return Ok(());
    }
    let arn = found.arn();
    let request = Request {
        who: caller.who(),
        action,
        resource: &arn,
        key: Some(found),
        details,
    };
    let sides = Sides {
        is_at_home: caller.account == found.account || request.who.is_service,
        identity: caller.facts.judge(&request),
        key: found.key.policy.judge(&request),
        grant: found
            .key
            .grants
            .values()
            .map(|grant| grant.reach(&request))
            .max()
            .unwrap_or(Reach::No),
    };
    sides
        .settle()
        .map_err(|why| refused(caller, action, &format!(" on resource: {arn}"), why))
}

/// Returns whether the caller may do an action that is not for one key.
pub(in crate::simulator) fn authorize_in_account(
    caller: &Caller,
    action: &str,
    details: Details<'_>,
) -> Result<(), Exception> {
    authorize_by_identity(caller, action, "*", details)
}

/// Returns whether the caller may change this alias. The key is checked separately.
pub(in crate::simulator) fn authorize_alias(
    caller: &Caller,
    action: &str,
    name: &str,
) -> Result<(), Exception> {
    let arn = alias_arn(&caller.account, &caller.region, name);
    authorize_by_identity(caller, action, &arn, Details::default())
}

/// Returns whether identity policies alone allow an action.
pub(in crate::simulator) fn authorize_by_identity(
    caller: &Caller,
    action: &str,
    resource: &str,
    details: Details<'_>,
) -> Result<(), Exception> {
    let request = Request {
        who: caller.who(),
        action,
        resource,
        key: None,
        details,
    };
    let why = match caller.facts.judge(&request) {
        Verdict::Allowed | Verdict::AccountAllowed => return Ok(()),
        Verdict::Denied => Why::DeniedByIdentity,
        Verdict::Silent => Why::NoIdentity,
    };
    Err(refused(
        caller,
        action,
        &format!(" on resource: {resource}"),
        why,
    ))
}

/// Where the key is that this text means, if the caller may do this with it.
pub(in crate::simulator) fn locate(
    state: &State,
    caller: &Caller,
    text: &str,
    action: &str,
) -> Result<Where, Exception> {
    locate_with(state, caller, text, action, Details::default())
}

/// The same for a request that says more.
pub(in crate::simulator) fn locate_with(
    state: &State,
    caller: &Caller,
    text: &str,
    action: &str,
    details: Details<'_>,
) -> Result<Where, Exception> {
    let found = find(state, caller, text, Names::Keys)?;
    authorize_with(&found, caller, action, details)?;
    Ok(found.to_owned())
}

/// The result of each kind of policy.
struct Sides {
    /// Whether the key's account is the caller's.
    is_at_home: bool,
    identity: Verdict,
    key: Verdict,
    grant: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    DeniedByIdentity,
    DeniedByKey,
    NoIdentity,
    NoKeyPolicy,
}

impl Sides {
    fn settle(&self) -> Result<(), Why> {
        let is_allowed_by_identity = self.identity == Verdict::Allowed;
        match (self.identity, self.key, self.grant) {
            (Verdict::Denied, ..) => Err(Why::DeniedByIdentity),
            (_, Verdict::Denied, _) => Err(Why::DeniedByKey),
            (_, _, Reach::Direct) => Ok(()),
            (_, Verdict::Allowed, _) if self.is_at_home => Ok(()),
            (_, Verdict::Silent, Reach::No) => Err(Why::NoKeyPolicy),
            _ if is_allowed_by_identity => Ok(()),
            _ => Err(Why::NoIdentity),
        }
    }
}

fn refused(caller: &Caller, action: &str, resource: &str, why: Why) -> Exception {
    let (who, action) = (&caller.principal, full_name(action));
    let why = match why {
        Why::DeniedByIdentity => "with an explicit deny in an identity-based policy".to_owned(),
        Why::DeniedByKey => "with an explicit deny in a resource-based policy".to_owned(),
        Why::NoIdentity => {
            format!("because no identity-based policy allows the {action} action")
        }
        Why::NoKeyPolicy => {
            format!("because no resource-based policy allows the {action} action")
        }
    };
    Kind::AccessDenied.because(format!(
        "User: {who} is not authorized to perform: {action}{resource} {why}"
    ))
}

impl KeyFacts for Found<'_> {
    fn account(&self) -> &str {
        self.account
    }

    fn tags(&self) -> &Pairs {
        &self.key.tags
    }

    fn aliases(&self) -> Vec<&str> {
        let aliases = self
            .place
            .aliases
            .iter()
            .filter(|(_, alias)| alias.key == self.key.id);
        aliases.map(|(name, _)| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_sides() {
        use Verdict::{AccountAllowed as Account, Allowed, Denied, Silent};
        const HOME: bool = true;
        const AWAY: bool = false;
        for (is_at_home, identity, key, grant, settled) in [
            (
                HOME,
                Denied,
                Allowed,
                Reach::Direct,
                Err(Why::DeniedByIdentity),
            ),
            (HOME, Allowed, Denied, Reach::Direct, Err(Why::DeniedByKey)),
            (HOME, Silent, Allowed, Reach::No, Ok(())),
            (HOME, Silent, Account, Reach::No, Err(Why::NoIdentity)),
            (HOME, Allowed, Account, Reach::No, Ok(())),
            (HOME, Allowed, Silent, Reach::No, Err(Why::NoKeyPolicy)),
            (HOME, Silent, Silent, Reach::No, Err(Why::NoKeyPolicy)),
            (HOME, Silent, Silent, Reach::Direct, Ok(())),
            (HOME, Silent, Silent, Reach::Account, Err(Why::NoIdentity)),
            (HOME, Allowed, Silent, Reach::Account, Ok(())),
            (AWAY, Silent, Allowed, Reach::No, Err(Why::NoIdentity)),
            (AWAY, Silent, Account, Reach::No, Err(Why::NoIdentity)),
            (AWAY, Allowed, Silent, Reach::No, Err(Why::NoKeyPolicy)),
            (AWAY, Allowed, Allowed, Reach::No, Ok(())),
            (AWAY, Allowed, Account, Reach::No, Ok(())),
            (AWAY, Silent, Silent, Reach::Direct, Ok(())),
            (AWAY, Silent, Silent, Reach::Account, Err(Why::NoIdentity)),
        ] {
            let sides = Sides {
                is_at_home,
                identity,
                key,
                grant,
            };
            assert_eq!(
                sides.settle(),
                settled,
                "{is_at_home} {identity:?} {key:?} {grant:?}"
            );
        }
    }
}
