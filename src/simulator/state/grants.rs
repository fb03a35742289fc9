//! Grants: permissions to use a key in addition to its policy, possibly limited to an encryption context.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::simulator::crypto::context::Pairs;
use crate::simulator::policy::{
    GrantProperties, PolicyRequest, PrincipalMatch, principal_match, value_of,
};

/// A grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::simulator) struct Grant {
    pub(in crate::simulator) id: String,
    pub(in crate::simulator) token: String,
    pub(in crate::simulator) name: Option<String>,
    /// Seconds since 1970.
    pub(in crate::simulator) created: f64,
    /// The ARN of a principal, or the name of a service principal: [`is_arn`].
    pub(in crate::simulator) grantee: String,
    /// The retiring principal, in the same forms as `grantee`.
    pub(in crate::simulator) retiring: Option<String>,
    /// The ARN of the root user of the account that created the grant.
    pub(in crate::simulator) issuer: String,
    pub(in crate::simulator) operations: Vec<String>,
    pub(in crate::simulator) constraints: Option<Constraints>,
}

/// The conditions under which a grant is effective.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct Constraints {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::simulator) encryption_context_subset: Option<Pairs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::simulator) encryption_context_equals: Option<Pairs>,
    /// The required `aws:SourceArn` of the request: the resource for which a service makes the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::simulator) source_arn: Option<String>,
}

/// The operations of keys in external key stores that a grant can allow.
pub(in crate::simulator) const OPERATIONS: [&str; 9] = [
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "CreateGrant",
    "RetireGrant",
    "DescribeKey",
];

/// The operations with an encryption context, which constraints apply to.
const WITH_CONTEXT: [&str; 6] = [
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
];

impl Grant {
    /// Returns how the grantee matches the caller, if the grant allows the request. A star as grantee matches no caller.
    pub(in crate::simulator) fn principal_match(
        &self,
        request: &PolicyRequest<'_>,
    ) -> PrincipalMatch {
        let is_for = |operation: &str| self.operations.iter().any(|known| known == operation);
        let constraints = self.constraints.as_ref();
        let applies = self.grantee != "*"
            && is_for(request.action)
            && constraints.is_none_or(|constraints| constraints.are_satisfied(request))
            && request
                .details
                .grant
                .is_none_or(|new| new.operations.iter().all(|operation| is_for(operation)));
        match applies {
            true => principal_match(&self.grantee, &request.caller),
            false => PrincipalMatch::None,
        }
    }

    /// Returns the properties that condition keys use.
    pub(in crate::simulator) fn properties(&self) -> GrantProperties<'_> {
        let constraints = self.constraints.as_ref();
        GrantProperties {
            operations: &self.operations,
            grantee: &self.grantee,
            retiring: self.retiring.as_deref(),
            equals: constraints
                .and_then(|constraints| constraints.encryption_context_equals.as_ref()),
            subset: constraints
                .and_then(|constraints| constraints.encryption_context_subset.as_ref()),
            source_arn: constraints.and_then(|constraints| constraints.source_arn.as_deref()),
        }
    }

    /// Returns the grant in the form of ListGrants.
    pub(in crate::simulator) fn to_description(&self, key_arn: &str) -> Value {
        let mut described = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                described.insert(name.to_owned(), value);
            }
        };
        put("KeyId", json!(key_arn));
        put("GrantId", json!(self.id));
        put("Name", json!(self.name));
        put("CreationDate", json!(self.created));
        match is_arn(&self.grantee) {
            true => put("GranteePrincipal", json!(self.grantee)),
            false => put("GranteeServicePrincipal", json!(self.grantee)),
        }
        match self.retiring.as_deref().is_some_and(is_arn) {
            true => put("RetiringPrincipal", json!(self.retiring)),
            false => put("RetiringServicePrincipal", json!(self.retiring)),
        }
        put("IssuingAccount", json!(self.issuer));
        put("Operations", json!(self.operations));
        put("Constraints", json!(self.constraints));
        Value::Object(described)
    }
}

impl Constraints {
    /// Returns whether the request satisfies the constraints. A new grant that this grant permits must have constraints at least as strict.
    fn are_satisfied(&self, request: &PolicyRequest<'_>) -> bool {
        let source = self.source_arn.as_deref();
        let has_source =
            source.is_none_or(|source| request.caller.configured.source_arn() == Some(source));
        let details = &request.details;
        let has_context = match (request.action, details.grant) {
            ("CreateGrant", Some(new)) => self.are_at_least_as_strict_in(&new),
            (action, _) if WITH_CONTEXT.contains(&action) => details
                .encryption_context
                .is_some_and(|context| self.allow_context(context)),
            _ => true,
        };
        has_source && has_context
    }

    fn allow_context(&self, context: &Pairs) -> bool {
        let equals = self.encryption_context_equals.as_ref();
        let subset = self.encryption_context_subset.as_ref();
        equals.is_none_or(|wanted| includes(context, wanted) && includes(wanted, context))
            && subset.is_none_or(|wanted| includes(context, wanted))
    }

    /// Returns whether these constraints allow every context and source that the new grant allows.
    fn are_at_least_as_strict_in(&self, new: &GrantProperties<'_>) -> bool {
        let source = self.source_arn.as_deref();
        if source.is_some() && new.source_arn != source {
            return false;
        }
        let are_none =
            self.encryption_context_equals.is_none() && self.encryption_context_subset.is_none();
        match (new.equals, new.subset) {
            (Some(context), _) => self.allow_context(context),
            (None, Some(subset)) => {
                let wanted = self.encryption_context_subset.as_ref();
                self.encryption_context_equals.is_none()
                    && wanted.is_none_or(|wanted| includes(subset, wanted))
            }
            (None, None) => are_none,
        }
    }
}

/// Returns whether a party of a grant is an ARN. Otherwise it is the name of a service principal, which has no colon.
pub(in crate::simulator) fn is_arn(party: &str) -> bool {
    party.starts_with("arn:")
}

/// Returns whether `context` has all wanted pairs. Keys are compared without regard to case, values exactly.
fn includes(context: &Pairs, wanted: &Pairs) -> bool {
    wanted
        .iter()
        .all(|(key, value)| value_of(context, key) == Some(value))
}

#[cfg(test)]
mod tests;
