//! The properties of a request that policies evaluate: caller, action, resource, and the values of condition keys.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::context_key::{ContextKey, KeyName};

/// The properties of a request that policies evaluate.
pub(in crate::simulator) struct PolicyRequest<'a> {
    pub(in crate::simulator) caller: PolicyCaller<'a>,
    /// The name of the action, without `kms:`. Actions of other services have their prefix.
    pub(in crate::simulator) action: &'a str,
    /// The ARN of the resource, or `*` for an action without a resource.
    pub(in crate::simulator) resource: &'a str,
    /// The KMS key, if there is one.
    pub(in crate::simulator) key: Option<&'a dyn KeyProperties>,
    pub(in crate::simulator) details: RequestDetails<'a>,
}

/// The caller.
pub(in crate::simulator) struct PolicyCaller<'a> {
    /// The ARN of a user, a session or the account, or the name of a service.
    pub(in crate::simulator) principal: &'a str,
    /// The ARN of the role for a session; otherwise the same as `principal`.
    pub(in crate::simulator) arn: Cow<'a, str>,
    pub(in crate::simulator) account: &'a str,
    pub(in crate::simulator) region: &'a str,
    pub(in crate::simulator) is_service: bool,
    pub(in crate::simulator) tags: Option<&'a Pairs>,
    pub(in crate::simulator) configured: &'a ConfiguredValues,
    pub(in crate::simulator) source: Option<IpAddr>,
}

/// Values of condition keys that the operator configured for an access key.
#[derive(Debug, Default)]
pub(in crate::simulator) struct ConfiguredValues(
    pub(in crate::simulator) Vec<(ContextKey, String)>,
);

/// The properties of a KMS key that condition keys use.
pub(in crate::simulator) trait KeyProperties {
    /// The account that owns the key.
    fn account(&self) -> &str;
    /// The tags of the key.
    fn tags(&self) -> &Pairs;
    /// The names of the aliases of the key.
    fn aliases(&self) -> Vec<&str>;
}

/// Pairs of a key and a value.
pub(in crate::simulator) type Pairs = BTreeMap<String, String>;

/// The parameters of a request that condition keys use.
#[derive(Clone, Copy, Default)]
pub(in crate::simulator) struct RequestDetails<'a> {
    pub(in crate::simulator) encryption_context: Option<&'a Pairs>,
    /// The alias by which the request names the key.
    pub(in crate::simulator) alias: Option<&'a str>,
    pub(in crate::simulator) tags: Option<&'a Pairs>,
    /// The names of tags that the request removes.
    pub(in crate::simulator) tag_keys: &'a [String],
    pub(in crate::simulator) grant: Option<GrantProperties<'a>>,
    pub(in crate::simulator) window_in_days: Option<i64>,
    pub(in crate::simulator) bypasses_lockout_check: Option<bool>,
    /// True if the request creates a key.
    pub(in crate::simulator) is_new_key: bool,
}

/// The properties of a new grant.
#[derive(Clone, Copy)]
pub(in crate::simulator) struct GrantProperties<'a> {
    pub(in crate::simulator) operations: &'a [String],
    pub(in crate::simulator) grantee: &'a str,
    pub(in crate::simulator) retiring: Option<&'a str>,
    pub(in crate::simulator) equals: Option<&'a Pairs>,
    pub(in crate::simulator) subset: Option<&'a Pairs>,
    pub(in crate::simulator) source_arn: Option<&'a str>,
}

impl ConfiguredValues {
    /// Returns the value that was configured for a key.
    fn get(&self, name: KeyName) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key.name == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns `aws:SourceArn`: the resource for which a service makes the request.
    pub(in crate::simulator) fn source_arn(&self) -> Option<&str> {
        self.get(KeyName::SourceArn)
    }
}

type Values<'v> = Vec<Cow<'v, str>>;

impl PolicyRequest<'_> {
    /// Returns the values of a condition key; no value if the request does not have the key.
    pub(super) fn values(&self, key: &ContextKey) -> Values<'_> {
        let configured = self.caller.configured.get(key.name);
        match configured {
            Some(value) => vec![Cow::Borrowed(value)],
            None => self
                .principal_values(key)
                .or_else(|| self.grant_values(key.name))
                .unwrap_or_else(|| self.key_values(key)),
        }
    }

    /// Returns the values of a key about the caller and its connection; none for other keys.
    fn principal_values(&self, key: &ContextKey) -> Option<Values<'_>> {
        let PolicyCaller {
            principal,
            arn,
            account,
            is_service,
            ..
        } = &self.caller;
        let unless_service = |value| one((!is_service).then_some(value));
        Some(match key.name {
            KeyName::CallerAccount | KeyName::PrincipalAccount => unless_service(*account),
            KeyName::PrincipalArn => unless_service(arn),
            KeyName::PrincipalIsService => truth(*is_service),
            KeyName::PrincipalService => one(is_service.then_some(*principal)),
            KeyName::PrincipalTag => one(self.caller.tags.and_then(|tags| found(tags, &key.part))),
            KeyName::PrincipalType => one(Some(kind_of(principal, *is_service))),
            KeyName::User => one(user_name(principal)),
            KeyName::SecureTransport => truth(true),
            KeyName::SourceIp => self.source_ip().into_iter().collect(),
            KeyName::RequestedRegion => one(Some(self.caller.region)),
            KeyName::CurrentTime => OffsetDateTime::now_utc()
                .format(&Rfc3339)
                .ok()
                .map(Cow::Owned)
                .into_iter()
                .collect(),
            KeyName::EpochTime => vec![Cow::Owned(
                OffsetDateTime::now_utc().unix_timestamp().to_string(),
            )],
            _ => return None,
        })
    }

    /// Returns the address of the caller. Requests through a service or a VPC endpoint do not have it.
    fn source_ip(&self) -> Option<Cow<'_, str>> {
        let is_hidden = [KeyName::ViaService, KeyName::SourceVpce]
            .iter()
            .any(|name| self.caller.configured.get(*name).is_some());
        let source = self.caller.source.filter(|_| !is_hidden);
        source.map(|source| Cow::Owned(source.to_canonical().to_string()))
    }

    /// Returns the values of a key about grants; none for other keys.
    fn grant_values(&self, name: KeyName) -> Option<Values<'_>> {
        let grant = self.details.grant.as_ref();
        Some(match name {
            KeyName::GrantOperations => {
                grant.map(|grant| all(grant.operations)).unwrap_or_default()
            }
            KeyName::GranteePrincipal => one(grant.map(|grant| grant.grantee)),
            KeyName::RetiringPrincipal => one(grant.and_then(|grant| grant.retiring)),
            KeyName::GrantConstraintType => one(grant.and_then(GrantProperties::constraint_type)),
            KeyName::GrantIsForAwsResource => {
                let is_about_grants =
                    matches!(self.action, "CreateGrant" | "ListGrants" | "RevokeGrant");
                let is_service = self.caller.is_service
                    || self.caller.configured.get(KeyName::ViaService).is_some();
                if is_about_grants {
                    truth(is_service)
                } else {
                    vec![]
                }
            }
            _ => return None,
        })
    }

    /// Returns the values of a key about the KMS key or the other parameters.
    fn key_values(&self, key: &ContextKey) -> Values<'_> {
        let details = &self.details;
        let is_about_a_key = self.key.is_some() || details.is_new_key;
        let property = |value| one(is_about_a_key.then_some(value));
        match key.name {
            KeyName::EncryptionAlgorithm => {
                one(details.encryption_context.map(|_| "SYMMETRIC_DEFAULT"))
            }
            KeyName::EncryptionContext => one(details
                .encryption_context
                .and_then(|pairs| found(pairs, &key.part))),
            KeyName::EncryptionContextKeys => details
                .encryption_context
                .map(|pairs| all(pairs.keys()))
                .unwrap_or_default(),
            KeyName::KeyOrigin => property("EXTERNAL_KEY_STORE"),
            KeyName::KeySpec => property("SYMMETRIC_DEFAULT"),
            KeyName::KeyUsage => property("ENCRYPT_DECRYPT"),
            KeyName::MultiRegion => property("false"),
            KeyName::LockoutCheckBypass => details
                .bypasses_lockout_check
                .map(truth)
                .unwrap_or_default(),
            KeyName::PendingWindow => details
                .window_in_days
                .map(|days| Cow::Owned(days.to_string()))
                .into_iter()
                .collect(),
            KeyName::RequestAlias => one(details.alias),
            KeyName::RequestTag => one(details.tags.and_then(|tags| found(tags, &key.part))),
            KeyName::TagKeys => all(details
                .tags
                .into_iter()
                .flat_map(Pairs::keys)
                .chain(details.tag_keys)),
            KeyName::ResourceAccount => one(self.key.map(KeyProperties::account)),
            KeyName::ResourceAliases => self
                .key
                .map(|key| key.aliases().into_iter().map(Cow::Borrowed).collect())
                .unwrap_or_default(),
            KeyName::ResourceTag => one(self
                .key
                .and_then(|properties| found(properties.tags(), &key.part))),
            _ => vec![],
        }
    }
}

impl GrantProperties<'_> {
    fn constraint_type(&self) -> Option<&'static str> {
        match (self.equals, self.subset) {
            (Some(_), _) => Some("EncryptionContextEquals"),
            (None, Some(_)) => Some("EncryptionContextSubset"),
            (None, None) => None,
        }
    }
}

fn one(value: Option<&str>) -> Values<'_> {
    value.map(Cow::Borrowed).into_iter().collect()
}

fn all<'v>(values: impl IntoIterator<Item = &'v String>) -> Values<'v> {
    values
        .into_iter()
        .map(|value| Cow::Borrowed(value.as_str()))
        .collect()
}

fn truth(is_so: bool) -> Values<'static> {
    vec![Cow::Borrowed(if is_so { "true" } else { "false" })]
}

/// Returns the value of a pair. An exact match of the name is preferred to a match without regard to case.
pub(in crate::simulator) fn found<'p>(pairs: &'p Pairs, name: &str) -> Option<&'p str> {
    let exact = pairs.get(name);
    let similar = || {
        pairs
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    exact.or_else(similar).map(String::as_str)
}

fn kind_of(principal: &str, is_service: bool) -> &'static str {
    match principal.splitn(6, ':').nth(5) {
        _ if is_service => "Service",
        Some("root") => "Account",
        Some(resource) if resource.starts_with("assumed-role/") => "AssumedRole",
        Some(resource) if resource.starts_with("federated-user/") => "FederatedUser",
        _ => "User",
    }
}

fn user_name(principal: &str) -> Option<&str> {
    let (_, path) = principal.split_once(":user/")?;
    path.rsplit('/').next()
}

#[cfg(test)]
pub(super) mod samples;
