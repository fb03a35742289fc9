//! The caller of KMS.

use std::borrow::Cow;

use crate::simulator::callers::principals::CallerProperties;
use crate::simulator::policy::{PolicyCaller, role_of};
use crate::simulator::wire::names::is_service;

/// The caller of KMS.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct KmsCaller {
    /// Twelve digits.
    pub(in crate::simulator) account: String,
    pub(in crate::simulator) region: String,
    /// The principal's ARN.
    pub(in crate::simulator) principal: String,
    /// True if the principal is authenticated. Policies and grants apply only then.
    pub(in crate::simulator) is_authenticated: bool,
    /// Tags, policies and condition keys of the caller.
    pub(in crate::simulator) properties: CallerProperties,
}

impl KmsCaller {
    /// Returns `aws:PrincipalArn`: the ARN of the role for a session, otherwise the principal.
    pub(in crate::simulator) fn principal_arn(&self) -> Cow<'_, str> {
        let arn = match &self.properties.identity {
            Some(identity) => Some(Cow::Borrowed(identity.arn.as_str())),
            None => role_of(&self.principal).map(Cow::Owned),
        };
        arn.unwrap_or(Cow::Borrowed(&self.principal))
    }

    /// Returns the caller in the form that policies evaluate.
    pub(in crate::simulator) fn as_policy_caller(&self) -> PolicyCaller<'_> {
        let identity = self.properties.identity.as_deref();
        PolicyCaller {
            principal: &self.principal,
            arn: self.principal_arn(),
            account: &self.account,
            region: &self.region,
            is_service: is_service(&self.principal),
            tags: identity.map(|identity| &identity.tags),
            configured: &self.properties.configured,
            source: self.properties.source,
        }
    }
}

/// One call of KMS.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct KmsCall {
    pub(in crate::simulator) caller: KmsCaller,
    /// The id that KMS gives the request.
    pub(in crate::simulator) request_id: String,
}
