//! A request as policies see it: caller, action, resource, and the values of the condition keys.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::context_key::{Key, Name};

/// A request as policies see it.
pub(in crate::simulator) struct Request<'a> {
    pub(in crate::simulator) who: Who<'a>,
    /// Without `kms:`; of another service with its prefix.
    pub(in crate::simulator) action: &'a str,
    /// The resource's ARN, or `*` for an action that has none.
    pub(in crate::simulator) resource: &'a str,
    /// The KMS key, if there is one.
    pub(in crate::simulator) key: Option<&'a dyn KeyFacts>,
    pub(in crate::simulator) details: Details<'a>,
}

/// The caller.
pub(in crate::simulator) struct Who<'a> {
    /// ARN of a user, of a session or of the account; or the name of a service.
    pub(in crate::simulator) principal: &'a str,
    /// The same, but of a session the ARN of its role.
    pub(in crate::simulator) arn: Cow<'a, str>,
    pub(in crate::simulator) account: &'a str,
    pub(in crate::simulator) region: &'a str,
    pub(in crate::simulator) is_service: bool,
    pub(in crate::simulator) tags: Option<&'a Pairs>,
    pub(in crate::simulator) given: &'a Given,
    pub(in crate::simulator) source: Option<IpAddr>,
}

/// Values of condition keys that were set for an access key.
#[derive(Debug, Default)]
pub(in crate::simulator) struct Given(pub(in crate::simulator) Vec<(Key, String)>);

/// The properties of a KMS key that condition keys are about.
pub(in crate::simulator) trait KeyFacts {
    /// The account that has it.
    fn account(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &Pairs;
    /// The names of its aliases.
    fn aliases(&self) -> Vec<&str>;
}

/// Keys and values.
pub(in crate::simulator) type Pairs = BTreeMap<String, String>;

/// The parameters of a request that condition keys are about.
#[derive(Clone, Copy, Default)]
pub(in crate::simulator) struct Details<'a> {
    pub(in crate::simulator) encryption_context: Option<&'a Pairs>,
    /// The alias by which the request names the key.
    pub(in crate::simulator) alias: Option<&'a str>,
    pub(in crate::simulator) tags: Option<&'a Pairs>,
    /// The names of tags that are removed.
    pub(in crate::simulator) tag_keys: &'a [String],
    pub(in crate::simulator) grant: Option<GrantFacts<'a>>,
    pub(in crate::simulator) window_in_days: Option<i64>,
    pub(in crate::simulator) bypasses_lockout_check: Option<bool>,
    /// Whether the request creates a key.
    pub(in crate::simulator) is_new_key: bool,
}

/// A grant that is to be created.
#[derive(Clone, Copy)]
pub(in crate::simulator) struct GrantFacts<'a> {
    pub(in crate::simulator) operations: &'a [String],
    pub(in crate::simulator) grantee: &'a str,
    pub(in crate::simulator) retiring: Option<&'a str>,
    pub(in crate::simulator) equals: Option<&'a Pairs>,
    pub(in crate::simulator) subset: Option<&'a Pairs>,
    pub(in crate::simulator) source_arn: Option<&'a str>,
}

impl Given {
    /// The value that was set for a key.
    fn get(&self, name: Name) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key.name == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The resource on whose behalf the request is made.
    pub(in crate::simulator) fn source_arn(&self) -> Option<&str> {
        self.get(Name::SourceArn)
    }
}

type Values<'v> = Vec<Cow<'v, str>>;

impl Request<'_> {
    /// Returns the values of a condition key, or none when the request does not have the key.
    pub(super) fn values(&self, key: &Key) -> Values<'_> {
        let given = self.who.given.get(key.name);
        match given {
            Some(value) => vec![Cow::Borrowed(value)],
            None => self
                .of_principal(key)
                .or_else(|| self.of_grant(key.name))
                .unwrap_or_else(|| self.of_key(key)),
        }
    }

    /// Returns none for a key that is not about the caller and its connection.
    fn of_principal(&self, key: &Key) -> Option<Values<'_>> {
        let Who {
            principal,
            arn,
            account,
            is_service,
            ..
        } = &self.who;
        let unless_service = |value| one((!is_service).then_some(value));
        Some(match key.name {
            Name::CallerAccount | Name::PrincipalAccount => unless_service(*account),
            Name::PrincipalArn => unless_service(arn),
            Name::PrincipalIsService => truth(*is_service),
            Name::PrincipalService => one(is_service.then_some(*principal)),
            Name::PrincipalTag => one(self.who.tags.and_then(|tags| found(tags, &key.part))),
            Name::PrincipalType => one(Some(kind_of(principal, *is_service))),
            Name::User => one(user_name(principal)),
            Name::SecureTransport => truth(true),
            Name::SourceIp => self.source_ip().into_iter().collect(),
            Name::RequestedRegion => one(Some(self.who.region)),
            Name::CurrentTime => OffsetDateTime::now_utc()
                .format(&Rfc3339)
                .ok()
                .map(Cow::Owned)
                .into_iter()
                .collect(),
            Name::EpochTime => vec![Cow::Owned(
                OffsetDateTime::now_utc().unix_timestamp().to_string(),
            )],
            _ => return None,
        })
    }

    /// Requests through a service or a VPC endpoint do not have the address of the caller.
    fn source_ip(&self) -> Option<Cow<'_, str>> {
        let is_hidden = [Name::ViaService, Name::SourceVpce]
            .iter()
            .any(|name| self.who.given.get(*name).is_some());
        let source = self.who.source.filter(|_| !is_hidden);
        source.map(|source| Cow::Owned(source.to_canonical().to_string()))
    }

    /// Returns none for a key that is not about grants.
    fn of_grant(&self, name: Name) -> Option<Values<'_>> {
        let grant = self.details.grant.as_ref();
        Some(match name {
            Name::GrantOperations => grant.map(|grant| all(grant.operations)).unwrap_or_default(),
            Name::GranteePrincipal => one(grant.map(|grant| grant.grantee)),
            Name::RetiringPrincipal => one(grant.and_then(|grant| grant.retiring)),
            Name::GrantConstraintType => one(grant.and_then(GrantFacts::constraint_type)),
            Name::GrantIsForAwsResource => {
                let is_about_grants =
                    matches!(self.action, "CreateGrant" | "ListGrants" | "RevokeGrant");
                let is_service =
                    self.who.is_service || self.who.given.get(Name::ViaService).is_some();
                if is_about_grants {
                    truth(is_service)
                } else {
                    vec![]
                }
            }
            _ => return None,
        })
    }

    /// Returns the values of the keys about the KMS key and the other parameters.
    fn of_key(&self, key: &Key) -> Values<'_> {
        let details = &self.details;
        let is_about_a_key = self.key.is_some() || details.is_new_key;
        let property = |value| one(is_about_a_key.then_some(value));
        match key.name {
            Name::EncryptionAlgorithm => {
                one(details.encryption_context.map(|_| "SYMMETRIC_DEFAULT"))
            }
            Name::EncryptionContext => one(details
                .encryption_context
                .and_then(|pairs| found(pairs, &key.part))),
            Name::EncryptionContextKeys => details
                .encryption_context
                .map(|pairs| all(pairs.keys()))
                .unwrap_or_default(),
            Name::KeyOrigin => property("EXTERNAL_KEY_STORE"),
            Name::KeySpec => property("SYMMETRIC_DEFAULT"),
            Name::KeyUsage => property("ENCRYPT_DECRYPT"),
            Name::MultiRegion => property("false"),
            Name::LockoutCheckBypass => details
                .bypasses_lockout_check
                .map(truth)
                .unwrap_or_default(),
            Name::PendingWindow => details
                .window_in_days
                .map(|days| Cow::Owned(days.to_string()))
                .into_iter()
                .collect(),
            Name::RequestAlias => one(details.alias),
            Name::RequestTag => one(details.tags.and_then(|tags| found(tags, &key.part))),
            Name::TagKeys => all(details
                .tags
                .into_iter()
                .flat_map(Pairs::keys)
                .chain(details.tag_keys)),
            Name::ResourceAccount => one(self.key.map(KeyFacts::account)),
            Name::ResourceAliases => self
                .key
                .map(|key| key.aliases().into_iter().map(Cow::Borrowed).collect())
                .unwrap_or_default(),
            Name::ResourceTag => one(self.key.and_then(|facts| found(facts.tags(), &key.part))),
            _ => vec![],
        }
    }
}

impl GrantFacts<'_> {
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

/// Returns the value of a pair. The exact name wins; otherwise the case of the name does not matter.
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
