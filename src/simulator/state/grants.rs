//! Grants: who may do what with a key besides what its policy says, and with which encryption context.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::simulator::crypto::context::Pairs;
use crate::simulator::policy::{GrantFacts, Reach, Request, reach, value_of};

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
    /// As `grantee`.
    pub(in crate::simulator) retiring: Option<String>,
    /// The account that gave it, as its root.
    pub(in crate::simulator) issuer: String,
    pub(in crate::simulator) operations: Vec<String>,
    pub(in crate::simulator) constraints: Option<Constraints>,
}

/// With which encryption context a grant counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::simulator) struct Constraints {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::simulator) encryption_context_subset: Option<Pairs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::simulator) encryption_context_equals: Option<Pairs>,
    /// The resource on whose behalf a service asks: `aws:SourceArn` of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::simulator) source_arn: Option<String>,
}

/// What a grant may be for, of what a key in an external key store can do.
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

/// Operations that have an encryption context, which constraints can look at.
const WITH_CONTEXT: [&str; 6] = [
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
];

impl Grant {
    /// Returns how it matches the caller of a request, if it allows the request. A star is not a grantee.
    pub(in crate::simulator) fn reach(&self, request: &Request<'_>) -> Reach {
        let is_for = |operation: &str| self.operations.iter().any(|known| known == operation);
        let constraints = self.constraints.as_ref();
        let is_meant = self.grantee != "*"
            && is_for(request.action)
            && constraints.is_none_or(|constraints| constraints.hold(request))
            && request
                .details
                .grant
                .is_none_or(|new| new.operations.iter().all(|operation| is_for(operation)));
        match is_meant {
            true => reach(&self.grantee, &request.who),
            false => Reach::No,
        }
    }

    /// Returns the properties that condition keys are about.
    pub(in crate::simulator) fn facts(&self) -> GrantFacts<'_> {
        let constraints = self.constraints.as_ref();
        GrantFacts {
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

    /// How ListGrants shows it.
    pub(in crate::simulator) fn described(&self, key_arn: &str) -> Value {
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
    /// Returns whether the request satisfies the constraints. A grant that is created with this grant must have constraints as strict.
    fn hold(&self, request: &Request<'_>) -> bool {
        let source = self.source_arn.as_deref();
        let is_on_behalf =
            source.is_none_or(|source| request.who.given.source_arn() == Some(source));
        let details = &request.details;
        let does_context_fit = match (request.action, details.grant) {
            ("CreateGrant", Some(new)) => self.are_kept_by(&new),
            (action, _) if WITH_CONTEXT.contains(&action) => details
                .encryption_context
                .is_some_and(|context| self.allow(context)),
            _ => true,
        };
        is_on_behalf && does_context_fit
    }

    fn allow(&self, context: &Pairs) -> bool {
        let equals = self.encryption_context_equals.as_ref();
        let subset = self.encryption_context_subset.as_ref();
        equals.is_none_or(|wanted| includes(context, wanted) && includes(wanted, context))
            && subset.is_none_or(|wanted| includes(context, wanted))
    }

    /// Returns whether these constraints allow every context and source that the new grant allows.
    fn are_kept_by(&self, new: &GrantFacts<'_>) -> bool {
        let source = self.source_arn.as_deref();
        if source.is_some() && new.source_arn != source {
            return false;
        }
        let are_none =
            self.encryption_context_equals.is_none() && self.encryption_context_subset.is_none();
        match (new.equals, new.subset) {
            (Some(context), _) => self.allow(context),
            (None, Some(subset)) => {
                let wanted = self.encryption_context_subset.as_ref();
                self.encryption_context_equals.is_none()
                    && wanted.is_none_or(|wanted| includes(subset, wanted))
            }
            (None, None) => are_none,
        }
    }
}

/// Returns whether a party of a grant is named by its ARN. Otherwise it is the name of a service principal, which has no colon.
pub(in crate::simulator) fn is_arn(party: &str) -> bool {
    party.starts_with("arn:")
}

/// Returns whether all pairs are present. The case of keys does not matter, the case of values does.
fn includes(context: &Pairs, wanted: &Pairs) -> bool {
    wanted
        .iter()
        .all(|(key, value)| value_of(context, key) == Some(value))
}

#[cfg(test)]
mod tests;
