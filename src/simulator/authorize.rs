//! Whether a caller may: by the key's policy, and by its grants.
//!
//! A simple part of IAM's evaluation, where the caller is known by its credentials. A statement for the account (`arn:aws:iam::ACCOUNT:root`)
//! lets all principals of the account, because here each of them has an IAM policy that allows everything.

use super::caller::Caller;
use super::context::Context;
use super::exception::{Exception, Kind};
use super::grants::is_granted;
use super::keys::Found;
use super::policy::{Policy, Verdict};

/// Whether the caller may do `action` (without `kms:`) with this key and this encryption context.
pub(super) fn authorize(
    found: &Found<'_>,
    caller: &Caller,
    action: &str,
    context: &Context,
) -> Result<(), Exception> {
    if !caller.is_named && caller.account == found.account {
        return Ok(());
    }
    let arn = found.arn();
    // The policy was read before it was kept; one that cannot be read allows nothing.
    let policy = Policy::parse(&found.key.policy).ok();
    let verdict = policy.map(|policy| policy.judge(&caller.principal, action, &arn));
    let is_granted = || {
        is_granted(
            found.key.grants.values(),
            &caller.principal,
            action,
            context,
        )
    };
    match verdict {
        Some(Verdict::Allowed) => Ok(()),
        Some(Verdict::Denied) => Err(refused(
            caller,
            action,
            &arn,
            "with an explicit deny in a resource-based policy",
        )),
        Some(Verdict::Silent) | None if is_granted() => Ok(()),
        Some(Verdict::Silent) | None => Err(refused(
            caller,
            action,
            &arn,
            &format!(
                "because no resource-based policy and no grant allows the kms:{action} action"
            ),
        )),
    }
}

fn refused(caller: &Caller, action: &str, arn: &str, why: &str) -> Exception {
    let who = &caller.principal;
    Kind::AccessDenied.because(format!(
        "User: {who} is not authorized to perform: kms:{action} on resource: {arn} {why}"
    ))
}
