//! Grants: who may do what with a key besides what its policy says, and with which encryption context.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::context::{Context, Pairs};
use super::policy::is_of;

/// A grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) name: Option<String>,
    /// Seconds since 1970.
    pub(super) created: f64,
    /// The ARN of a principal, or the name of a service principal: [`is_service`].
    pub(super) grantee: String,
    /// As `grantee`.
    pub(super) retiring: Option<String>,
    /// The account that gave it, as its root.
    pub(super) issuer: String,
    pub(super) operations: Vec<String>,
    pub(super) constraints: Option<Constraints>,
}

/// With which encryption context a grant counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Constraints {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encryption_context_subset: Option<Pairs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encryption_context_equals: Option<Pairs>,
    /// The resource on whose behalf a service asks: `aws:SourceArn` of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_arn: Option<String>,
}

/// What a grant may be for, of what a key in an external key store can do.
pub(super) const OPERATIONS: [&str; 9] = [
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
    /// Whether it lets this principal do this, with this encryption context.
    fn allows(&self, principal: &str, action: &str, context: &Context) -> bool {
        let is_meant =
            is_grantee(&self.grantee, principal) && self.operations.iter().any(|op| op == action);
        let constraints = self.constraints.as_ref().filter(|constraints| {
            WITH_CONTEXT.contains(&action) || constraints.source_arn.is_some()
        });
        is_meant && constraints.is_none_or(|constraints| constraints.hold(context.pairs()))
    }

    /// How ListGrants shows it.
    pub(super) fn described(&self, key_arn: &str) -> Value {
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
        match is_service(&self.grantee) {
            true => put("GranteeServicePrincipal", json!(self.grantee)),
            false => put("GranteePrincipal", json!(self.grantee)),
        }
        match self.retiring.as_deref().is_some_and(is_service) {
            true => put("RetiringServicePrincipal", json!(self.retiring)),
            false => put("RetiringPrincipal", json!(self.retiring)),
        }
        put("IssuingAccount", json!(self.issuer));
        put("Operations", json!(self.operations));
        put("Constraints", json!(self.constraints));
        Value::Object(described)
    }
}

impl Constraints {
    fn hold(&self, context: &Pairs) -> bool {
        // No caller has an aws:SourceArn.
        if self.source_arn.is_some() {
            return false;
        }
        let equals = self.encryption_context_equals.as_ref();
        let subset = self.encryption_context_subset.as_ref();
        equals.is_none_or(|wanted| wanted == context)
            && subset.is_none_or(|wanted| {
                wanted
                    .iter()
                    .all(|(key, value)| context.get(key) == Some(value))
            })
    }
}

/// Whether a party of a grant is a service principal. Its name has no colon, and every ARN begins with `arn:`.
pub(super) fn is_service(party: &str) -> bool {
    !party.starts_with("arn:")
}

/// Whether a grant lets this principal do this.
pub(super) fn is_granted<'a>(
    mut grants: impl Iterator<Item = &'a Grant>,
    principal: &str,
    action: &str,
    context: &Context,
) -> bool {
    grants.any(|grant| grant.allows(principal, action, context))
}

/// Unlike a policy, a grant names nobody by a star.
pub(super) fn is_grantee(named: &str, principal: &str) -> bool {
    named != "*" && is_of(named, principal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: &str = "arn:aws:iam::444455556666:role/bob";

    fn pairs(pairs: &[(&str, &str)]) -> Pairs {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn grant(constraints: Option<Constraints>) -> Grant {
        Grant {
            id: "i".into(),
            token: "t".into(),
            name: None,
            created: 1.5,
            grantee: BOB.into(),
            retiring: None,
            issuer: "arn:aws:iam::111122223333:root".into(),
            operations: vec!["Encrypt".into(), "DescribeKey".into()],
            constraints,
        }
    }

    #[test]
    fn a_grant_is_for_its_grantee_and_operations() {
        let allows = |who: &str, what: &str| grant(None).allows(who, what, &Context::default());
        assert!(
            allows(BOB, "Encrypt")
                && allows("arn:aws:sts::444455556666:assumed-role/bob/s", "Encrypt")
        );
        assert!(
            !allows(BOB, "Decrypt") && !allows("arn:aws:iam::444455556666:role/eve", "Encrypt")
        );
    }

    #[test]
    fn constraints_look_at_the_context() {
        let with = |constraints: Constraints, context: &[(&str, &str)], what: &str| {
            let context = Context::new(Some(pairs(context))).unwrap();
            grant(Some(constraints)).allows(BOB, what, &context)
        };
        let subset = Constraints {
            encryption_context_subset: Some(pairs(&[("a", "1")])),
            ..Constraints::default()
        };
        let equals = Constraints {
            encryption_context_equals: Some(pairs(&[("a", "1")])),
            ..Constraints::default()
        };
        assert!(with(subset.clone(), &[("a", "1"), ("b", "2")], "Encrypt"));
        assert!(
            !with(subset.clone(), &[("a", "2")], "Encrypt")
                && !with(subset.clone(), &[], "Encrypt")
        );
        assert!(with(equals.clone(), &[("a", "1")], "Encrypt"));
        assert!(!with(equals, &[("a", "1"), ("b", "2")], "Encrypt"));
        assert!(with(subset, &[], "DescribeKey"), "which has no context");
    }

    #[test]
    fn what_is_not_there_is_not_shown() {
        let shown = grant(None).described("arn");
        assert!(shown.get("Name").is_none() && shown.get("Constraints").is_none());
        assert_eq!(shown["Operations"], json!(["Encrypt", "DescribeKey"]));
        assert!(shown.get("Token").is_none() && shown.get("GrantToken").is_none());
    }
}
