//! The caller of KMS.

use std::borrow::Cow;

use crate::simulator::callers::principals::Facts;
use crate::simulator::policy::{Who, role_of};
use crate::simulator::wire::names::is_service;

/// Who calls.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Caller {
    /// Twelve digits.
    pub(in crate::simulator) account: String,
    pub(in crate::simulator) region: String,
    /// The principal's ARN.
    pub(in crate::simulator) principal: String,
    /// Whether it is known who that is, so that policies and grants have someone to apply to.
    pub(in crate::simulator) is_named: bool,
    /// Tags, policies and condition keys of the caller.
    pub(in crate::simulator) facts: Facts,
}

impl Caller {
    /// Returns `aws:PrincipalArn`: of a session the ARN of its role, otherwise the principal.
    pub(in crate::simulator) fn principal_arn(&self) -> Cow<'_, str> {
        let arn = match &self.facts.identity {
            Some(identity) => Some(Cow::Borrowed(identity.arn.as_str())),
            None => role_of(&self.principal).map(Cow::Owned),
        };
        arn.unwrap_or(Cow::Borrowed(&self.principal))
    }

    /// The caller as policies see it.
    pub(in crate::simulator) fn who(&self) -> Who<'_> {
        let identity = self.facts.identity.as_deref();
        Who {
            principal: &self.principal,
            arn: self.principal_arn(),
            account: &self.account,
            region: &self.region,
            is_service: is_service(&self.principal),
            tags: identity.map(|identity| &identity.tags),
            given: &self.facts.given,
            source: self.facts.source,
        }
    }
}

/// A call of KMS.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Call {
    pub(in crate::simulator) caller: Caller,
    /// KMS's id of the request.
    pub(in crate::simulator) request_id: String,
}
