//! Authorization by the key policy, the identity policies of the caller, and grants.
//!
//! # Invariants
//! - A Deny of any policy overrides every Allow and every grant.
//! - An identity policy allows access to a key only if the key policy allows the account or the caller.
//! - A caller of another account needs both policies, or a grant.

use crate::simulator::callers::caller::KmsCaller;
use crate::simulator::crypto::context::EncryptionContext;
use crate::simulator::policy::{
    KeyProperties, Pairs, PolicyDecision, PolicyRequest, PrincipalMatch, RequestDetails, full_name,
};
use crate::simulator::state::KmsState;
use crate::simulator::state::lookup::{AcceptedIds, FoundKey, KeyLocation, find};
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::names::alias_arn;

/// Checks that the caller may perform `action` (without `kms:`) with this key and this encryption context.
pub(in crate::simulator) fn authorize(
    found: &FoundKey<'_>,
    caller: &KmsCaller,
    action: &str,
    context: &EncryptionContext,
) -> Result<(), Exception> {
    let details = RequestDetails {
        encryption_context: Some(context.pairs()),
        alias: found.alias,
        ..RequestDetails::default()
    };
    authorize_with(found, caller, action, details)
}

/// Checks the same as [`authorize`], with other details of the request.
pub(in crate::simulator) fn authorize_with(
    found: &FoundKey<'_>,
    caller: &KmsCaller,
    action: &str,
    details: RequestDetails<'_>,
) -> Result<(), Exception> {
    if !caller.is_authenticated && caller.account == found.account {
        return Ok(());
    }
    let arn = found.arn();
    let request = PolicyRequest {
        caller: caller.as_policy_caller(),
        action,
        resource: &arn,
        key: Some(found),
        details,
    };
    let decisions = Decisions {
        is_own_account: caller.account == found.account || request.caller.is_service,
        identity: caller.properties.evaluate(&request),
        key: found.key.policy.evaluate(&request),
        grant: found
            .key
            .grants
            .values()
            .map(|grant| grant.principal_match(&request))
            .max()
            .unwrap_or(PrincipalMatch::None),
    };
    decisions
        .combine()
        .map_err(|reason| denied(caller, action, &format!(" on resource: {arn}"), reason))
}

/// Checks that the caller may perform an action that does not use one key.
pub(in crate::simulator) fn authorize_in_account(
    caller: &KmsCaller,
    action: &str,
    details: RequestDetails<'_>,
) -> Result<(), Exception> {
    authorize_by_identity(caller, action, "*", details)
}

/// Checks that the caller may change this alias. The key is checked separately.
pub(in crate::simulator) fn authorize_alias(
    caller: &KmsCaller,
    action: &str,
    name: &str,
) -> Result<(), Exception> {
    let arn = alias_arn(&caller.account, &caller.region, name);
    authorize_by_identity(caller, action, &arn, RequestDetails::default())
}

/// Checks that identity policies alone allow an action.
pub(in crate::simulator) fn authorize_by_identity(
    caller: &KmsCaller,
    action: &str,
    resource: &str,
    details: RequestDetails<'_>,
) -> Result<(), Exception> {
    let request = PolicyRequest {
        caller: caller.as_policy_caller(),
        action,
        resource,
        key: None,
        details,
    };
    let reason = match caller.properties.evaluate(&request) {
        PolicyDecision::Allowed | PolicyDecision::AccountAllowed => return Ok(()),
        PolicyDecision::Denied => DenialReason::DeniedByIdentity,
        PolicyDecision::NotApplicable => DenialReason::NoIdentity,
    };
    Err(denied(
        caller,
        action,
        &format!(" on resource: {resource}"),
        reason,
    ))
}

/// Returns the location of the key that `text` names, if the caller may perform `action` with it.
pub(in crate::simulator) fn locate(
    state: &KmsState,
    caller: &KmsCaller,
    text: &str,
    action: &str,
) -> Result<KeyLocation, Exception> {
    locate_with(state, caller, text, action, RequestDetails::default())
}

/// Returns the same as [`locate`], with more details of the request.
pub(in crate::simulator) fn locate_with(
    state: &KmsState,
    caller: &KmsCaller,
    text: &str,
    action: &str,
    details: RequestDetails<'_>,
) -> Result<KeyLocation, Exception> {
    let found = find(state, caller, text, AcceptedIds::Keys)?;
    authorize_with(&found, caller, action, details)?;
    Ok(found.location())
}

/// The result of each kind of policy.
struct Decisions {
    /// True if the key is in the account of the caller, or the caller is a service.
    is_own_account: bool,
    identity: PolicyDecision,
    key: PolicyDecision,
    grant: PrincipalMatch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DenialReason {
    DeniedByIdentity,
    DeniedByKey,
    NoIdentity,
    NoKeyPolicy,
}

impl Decisions {
    fn combine(&self) -> Result<(), DenialReason> {
        let is_allowed_by_identity = self.identity == PolicyDecision::Allowed;
        match (self.identity, self.key, self.grant) {
            (PolicyDecision::Denied, ..) => Err(DenialReason::DeniedByIdentity),
            (_, PolicyDecision::Denied, _) => Err(DenialReason::DeniedByKey),
            (_, _, PrincipalMatch::Direct) => Ok(()),
            (_, PolicyDecision::Allowed, _) if self.is_own_account => Ok(()),
            (_, PolicyDecision::NotApplicable, PrincipalMatch::None) => {
                Err(DenialReason::NoKeyPolicy)
            }
            _ if is_allowed_by_identity => Ok(()),
            _ => Err(DenialReason::NoIdentity),
        }
    }
}

fn denied(caller: &KmsCaller, action: &str, resource: &str, reason: DenialReason) -> Exception {
    let (principal, action) = (&caller.principal, full_name(action));
    let reason = match reason {
        DenialReason::DeniedByIdentity => {
            "with an explicit deny in an identity-based policy".to_owned()
        }
        DenialReason::DeniedByKey => "with an explicit deny in a resource-based policy".to_owned(),
        DenialReason::NoIdentity => {
            format!("because no identity-based policy allows the {action} action")
        }
        DenialReason::NoKeyPolicy => {
            format!("because no resource-based policy allows the {action} action")
        }
    };
    ExceptionKind::AccessDenied.with_message(format!(
        "User: {principal} is not authorized to perform: {action}{resource} {reason}"
    ))
}

impl KeyProperties for FoundKey<'_> {
    fn account(&self) -> &str {
        self.account
    }

    fn tags(&self) -> &Pairs {
        &self.key.tags
    }

    fn aliases(&self) -> Vec<&str> {
        let aliases = self
            .region_state
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
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn every_combination_of_decisions() {
        use PolicyDecision::{AccountAllowed as Account, Allowed, Denied, NotApplicable};
        const OWN: bool = true;
        const OTHER: bool = false;
        for (is_own_account, identity, key, grant, expected) in [
            (
                OWN,
                Denied,
                Allowed,
                PrincipalMatch::Direct,
                Err(DenialReason::DeniedByIdentity),
            ),
            (
                OWN,
                Allowed,
                Denied,
                PrincipalMatch::Direct,
                Err(DenialReason::DeniedByKey),
            ),
            (OWN, NotApplicable, Allowed, PrincipalMatch::None, Ok(())),
            (
                OWN,
                NotApplicable,
                Account,
                PrincipalMatch::None,
                Err(DenialReason::NoIdentity),
            ),
            (OWN, Allowed, Account, PrincipalMatch::None, Ok(())),
            (
                OWN,
                Allowed,
                NotApplicable,
                PrincipalMatch::None,
                Err(DenialReason::NoKeyPolicy),
            ),
            (
                OWN,
                NotApplicable,
                NotApplicable,
                PrincipalMatch::None,
                Err(DenialReason::NoKeyPolicy),
            ),
            (
                OWN,
                NotApplicable,
                NotApplicable,
                PrincipalMatch::Direct,
                Ok(()),
            ),
            (
                OWN,
                NotApplicable,
                NotApplicable,
                PrincipalMatch::Account,
                Err(DenialReason::NoIdentity),
            ),
            (OWN, Allowed, NotApplicable, PrincipalMatch::Account, Ok(())),
            (
                OTHER,
                NotApplicable,
                Allowed,
                PrincipalMatch::None,
                Err(DenialReason::NoIdentity),
            ),
            (
                OTHER,
                NotApplicable,
                Account,
                PrincipalMatch::None,
                Err(DenialReason::NoIdentity),
            ),
            (
                OTHER,
                Allowed,
                NotApplicable,
                PrincipalMatch::None,
                Err(DenialReason::NoKeyPolicy),
            ),
            (OTHER, Allowed, Allowed, PrincipalMatch::None, Ok(())),
            (OTHER, Allowed, Account, PrincipalMatch::None, Ok(())),
            (
                OTHER,
                NotApplicable,
                NotApplicable,
                PrincipalMatch::Direct,
                Ok(()),
            ),
            (
                OTHER,
                NotApplicable,
                NotApplicable,
                PrincipalMatch::Account,
                Err(DenialReason::NoIdentity),
            ),
        ] {
            let decisions = Decisions {
                is_own_account,
                identity,
                key,
                grant,
            };
            assert_eq!(
                decisions.combine(),
                expected,
                "{is_own_account} {identity:?} {key:?} {grant:?}"
            );
        }
    }
}
