//! Rules that name what cannot exist: a key store, key, region, label or tag that the configuration does not have, and accounts, roles,
//! principals, operations, VPCs and KMS keys that AWS cannot have. Such a rule permits or forbids nothing, whatever its author meant.
//!
//! Names are taken from the parsed rules: entities wherever they are, and texts that an attribute is compared with.

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet};

use super::comparisons::{TAG, comparisons, patterns};
use super::context::{
    OPERATIONS, client_certificates, is_client_certificate, key_arn_problem, shorter_service,
    vpc_problem,
};
use crate::policy::load::PolicyWarning;
use super::partition;
use crate::policy::principal::{KINDS, principal_problem};
use crate::policy::roles::{Role, is_account};
use crate::connections::ClientCertificate;
use crate::similar::nearest;

/// More warnings than these are counted, not shown.
const MAX_SHOWN: usize = 20;

/// What a configuration has that rules can name.
#[derive(Clone, Debug, Default)]
pub struct Names {
    stores: BTreeSet<String>,
    regions: BTreeSet<String>,
    /// As `store/id`.
    keys: BTreeSet<String>,
    ids: BTreeSet<String>,
    labels: BTreeSet<String>,
    tags: BTreeSet<String>,
}

impl Names {
    /// Adds a key store.
    pub fn add_store(&mut self, name: &str, region: &str) {
        self.stores.insert(name.to_owned());
        self.regions.insert(region.to_owned());
    }

    /// Adds a key of a store.
    pub fn add_key<'a>(
        &mut self,
        store: &str,
        id: &str,
        labels: impl Iterator<Item = &'a str>,
        tags: impl Iterator<Item = &'a str>,
    ) {
        self.keys.insert(format!("{store}/{id}"));
        self.ids.insert(id.to_owned());
        self.labels.extend(labels.map(str::to_owned));
        self.tags.extend(tags.map(str::to_owned));
    }

    // Why no request of these key stores has this ARN, to follow a comma; none when one may have it.

    fn role_problem(&self, arn: &str) -> Option<String> {
        match Role::of_arn(arn) {
            Some(_) => partition::problem(arn, &self.regions),
            None => Some(role_problem(arn)),
        }
    }

    fn principal_problem(&self, arn: &str) -> Option<String> {
        let form = principal_problem(arn).map(|problem| format!("which {problem}"));
        form.or_else(|| partition::problem(arn, &self.regions))
    }

    fn key_arn_problem(&self, arn: &str) -> Option<String> {
        let form = key_arn_problem(arn).map(str::to_owned);
        form.or_else(|| partition::problem(arn, &self.regions))
    }
}

/// An entity that a rule names, with the name of the rule.
pub(in crate::policy) type Literal = (PolicyId, EntityUid);

/// Every entity that a rule names.
pub(in crate::policy) fn literals(rules: &PolicySet) -> Vec<Literal> {
    let of_rule = |rule: &Policy| {
        let id = rule.id().clone();
        let literals = rule.entity_literals().into_iter();
        literals
            .map(move |uid| (id.clone(), uid))
            .collect::<Vec<_>>()
    };
    rules.policies().flat_map(of_rule).collect()
}

/// A warning for each name that cannot exist, by the names of the rules.
pub(in crate::policy) fn warnings(
    rules: &PolicySet,
    literals: &[Literal],
    names: &Names,
) -> Vec<PolicyWarning> {
    let entity = |(rule, uid): &Literal| Some((rule.to_string(), Mention::of_entity(uid)?));
    let mut found: BTreeSet<(String, Mention)> = literals.iter().filter_map(entity).collect();
    found.extend(rules.policies().flat_map(compared_texts));
    let mut missing = found
        .iter()
        .filter(|(_, mention)| !mention.can_exist(names));
    let shown = missing.by_ref().take(MAX_SHOWN);
    let mut warnings: Vec<String> = shown
        .map(|(rule, mention)| format!("{rule:?} {}", mention.problem(names)))
        .collect();
    let more = missing.count();
    if more > 0 {
        warnings.push(format!("{more} more names in rules cannot exist"));
    }
    warnings.into_iter().map(PolicyWarning::new).collect()
}

/// The names of the rules that compare the result of client authentication with anything but `off`.
pub(in crate::policy) fn about_client_certificates(rules: &PolicySet) -> Vec<String> {
    let off = ClientCertificate::Off.as_str();
    let mentions = rules.policies().flat_map(compared_texts);
    let mut found: Vec<String> = mentions
        .filter(|(_, mention)| matches!(mention, Mention::ClientCertificate(name) if name != off))
        .map(|(rule, _)| rule)
        .collect();
    found.dedup();
    found
}

/// What a rule names.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mention {
    Store(String),
    Key(String),
    KeyId(String),
    Region(String),
    Label(String),
    Tag(String),
    Account(String),
    Role(String),
    Principal(String),
    Kind(String),
    Operation(String),
    ClientCertificate(String),
    /// With the prefix that its id has.
    Vpc(&'static str, String),
    KeyArn(String),
    ViaService(String),
}

/// Every text that a rule compares an attribute with, with the name of the rule.
fn compared_texts(rule: &Policy) -> Vec<(String, Mention)> {
    let mut found = Vec::new();
    // Attributes are compared in conditions only, which most rules of a large policy do not have.
    if let (true, Ok(json)) = (rule.has_non_scope_constraint(), rule.to_json()) {
        comparisons(&json, &mut |attribute, text| {
            found.extend(Mention::of_attribute(attribute, text));
        });
        patterns(&json, &mut |attribute, pattern| {
            found.extend(Mention::of_pattern(attribute, pattern));
        });
    }
    let named = |mention| (rule.id().to_string(), mention);
    found.into_iter().map(named).collect()
}

impl Mention {
    fn of_entity(uid: &EntityUid) -> Option<Self> {
        let id = uid.id().unescaped().to_owned();
        Some(match uid.type_name().basename() {
            "KeyStore" => Self::Store(id),
            "Key" => Self::Key(id),
            "Account" => Self::Account(id),
            "Role" => Self::Role(id),
            "Principal" => Self::Principal(id),
            // The schema knows every action.
            _ => return None,
        })
    }

    /// A text that `variable.attribute` is compared with.
    fn of_attribute((variable, attribute): (&str, &str), text: &str) -> Option<Self> {
        let text = text.to_owned();
        Some(match (variable, attribute) {
            ("resource", "store") => Self::Store(text),
            ("resource", "id") => Self::KeyId(text),
            ("resource", "labels") => Self::Label(text),
            ("resource", TAG) => Self::Tag(text),
            ("context", "region") => Self::Region(text),
            ("context", "kmsKeyAccount") | ("principal", "account") => Self::Account(text),
            ("principal", "arn") => Self::Principal(text),
            ("principal", "kind") => Self::Kind(text),
            ("context", "kmsOperation") => Self::Operation(text),
            ("context", "client_certificate") => Self::ClientCertificate(text),
            ("context", "awsSourceVpc") => Self::Vpc("vpc-", text),
            ("context", "awsSourceVpce" | "transport_vpc_endpoint") => Self::Vpc("vpce-", text),
            ("context", "kmsKeyArn") => Self::KeyArn(text),
            ("context", "kmsViaService") => Self::ViaService(text),
            _ => return None,
        })
    }

    /// A pattern that `variable.attribute` is compared with. Only that of a service is looked at: with a Region for each wildcard it
    /// shows whether it is about more than the service's name.
    fn of_pattern(attribute: (&str, &str), pattern: &[Option<&str>]) -> Option<Self> {
        let text: String = pattern
            .iter()
            .map(|part| part.unwrap_or("us-east-1"))
            .collect();
        (attribute == ("context", "kmsViaService")).then_some(Self::ViaService(text))
    }

    fn can_exist(&self, names: &Names) -> bool {
        match self {
            Self::Store(name) => names.stores.contains(name),
            Self::Key(name) => names.keys.contains(name),
            Self::KeyId(id) => names.ids.contains(id),
            Self::Region(region) => names.regions.contains(region),
            Self::Label(label) => names.labels.contains(label),
            Self::Tag(tag) => names.tags.contains(tag),
            Self::Account(id) => is_account(id),
            Self::Role(arn) => names.role_problem(arn).is_none(),
            Self::Principal(arn) => names.principal_problem(arn).is_none(),
            Self::Kind(kind) => KINDS.contains(&kind.as_str()),
            Self::Operation(name) => OPERATIONS.contains(&name.as_str()),
            Self::ClientCertificate(name) => is_client_certificate(name),
            Self::Vpc(prefix, id) => vpc_problem(prefix, id).is_none(),
            Self::KeyArn(arn) => names.key_arn_problem(arn).is_none(),
            Self::ViaService(text) => shorter_service(text).is_none(),
        }
    }

    fn problem(&self, names: &Names) -> String {
        match self {
            Self::Store(name) => unknown("key store", name, &names.stores),
            Self::Key(name) if !name.contains('/') => {
                format!("names the key {name:?}; write it as \"store/id\"")
            }
            Self::Key(name) => unknown("key", name, &names.keys),
            Self::KeyId(id) => unknown("key id", id, &names.ids),
            Self::Region(region) => unknown("region of a key store", region, &names.regions),
            Self::Label(label) => unknown("label", label, &names.labels),
            Self::Tag(tag) => unknown("tag", tag, &names.tags),
            Self::Account(id) => {
                format!("names the account {id:?}, but an account id has twelve digits")
            }
            Self::Role(arn) => {
                let problem = names.role_problem(arn).unwrap_or_default();
                format!("names the role {arn:?}, {problem}")
            }
            Self::Principal(arn) => {
                let problem = names.principal_problem(arn).unwrap_or_default();
                format!("names the principal {arn:?}, {problem}")
            }
            Self::Kind(kind) => {
                let known = KINDS.join(", ");
                format!("names the kind of principal {kind:?}; known are: {known}")
            }
            Self::Operation(name) => {
                let known = OPERATIONS.join(", ");
                format!(
                    "names the KMS operation {name:?}, which does not use an external key as far as this version knows; known are: {known}"
                )
            }
            Self::ClientCertificate(name) => {
                let known = client_certificates();
                format!("names the result of client authentication {name:?}; known are: {known}")
            }
            Self::Vpc(prefix, id) => {
                let problem = vpc_problem(prefix, id).unwrap_or_default();
                format!("compares {id:?} with the id of a VPC or an endpoint, {problem}")
            }
            Self::KeyArn(arn) => {
                let problem = names.key_arn_problem(arn).unwrap_or_default();
                format!("compares {arn:?} with the ARN of a KMS key, {problem}")
            }
            Self::ViaService(text) => {
                let name = shorter_service(text).unwrap_or_default();
                format!(
                    "compares {text:?} with kmsViaService, which is the service's name only, without Region and suffix; write {name:?}"
                )
            }
        }
    }
}

fn unknown(what: &str, name: &str, known: &BTreeSet<String>) -> String {
    let lacks = format!("names the {what} {name:?}, which the configuration does not have");
    match nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("{lacks}; did you mean {meant:?}?"),
        None => lacks,
    }
}

fn role_problem(arn: &str) -> String {
    let session = arn.split_once(":assumed-role/");
    let of_session = session.and_then(|(account, rest)| {
        let (name, _) = rest.split_once('/').unwrap_or((rest, ""));
        let account = account.replacen(":sts:", ":iam:", 1);
        let role = format!("{account}:role/{name}");
        Role::of_arn(&role).is_some().then_some(role)
    });
    match of_session {
        Some(role) => format!("which is a session; its role is {role:?}"),
        None => "which is not the ARN of a role, such as \"arn:aws:iam::111122223333:role/Orders\""
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;
