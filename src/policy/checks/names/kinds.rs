//! The kinds of names in rules: a table of the entities and attributes of each kind, and the check of its names.

use std::collections::BTreeSet;

use super::configured::Names;
use crate::policy::checks::comparisons::TAG;
use crate::policy::checks::context::{
    OPERATIONS, client_certificates, is_client_certificate, key_arn_problem, shorter_service,
    vpc_problem,
};
use crate::policy::checks::partition;
use crate::policy::principal::{KINDS, principal_problem};
use crate::policy::roles::{Role, is_account};
use crate::similar::nearest;

/// The attribute with the result of client authentication.
pub(super) const CLIENT_CERTIFICATE: (&str, &str) = ("context", "client_certificate");

/// The attribute with the AWS service that made the request.
pub(super) const VIA_SERVICE: (&str, &str) = ("context", "kmsViaService");

/// A kind of name: the index of its row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameKind(usize);

/// The properties of a name kind.
struct Row {
    /// The entity type whose ids are such names.
    entity: Option<&'static str>,
    /// The attributes, as variable and name, whose values are such names.
    attributes: &'static [(&'static str, &'static str)],
    /// Returns why the name cannot exist, as text that follows the name of the rule. None when it can exist.
    problem: fn(&Names, &str) -> Option<String>,
}

const fn row(
    entity: Option<&'static str>,
    attributes: &'static [(&'static str, &'static str)],
    problem: fn(&Names, &str) -> Option<String>,
) -> Row {
    Row {
        entity,
        attributes,
        problem,
    }
}

/// Warnings about one rule are in the order of this table. Cedar checks actions against the schema, so the table omits them.
static TABLE: [Row; 16] = [
    row(Some("KeyStore"), &[("resource", "store")], |names, name| {
        unknown("key store", name, &names.stores)
    }),
    row(Some("Key"), &[], key),
    row(None, &[("resource", "id")], |names, id| {
        unknown("key id", id, &names.ids)
    }),
    row(None, &[("context", "region")], |names, region| {
        unknown("Region of a key store", region, &names.regions)
    }),
    row(None, &[("resource", "labels")], |names, label| {
        unknown("label", label, &names.labels)
    }),
    row(None, &[("resource", TAG)], |names, tag| {
        unknown("tag", tag, &names.tags)
    }),
    row(
        Some("Account"),
        &[("context", "kmsKeyAccount"), ("principal", "account")],
        account,
    ),
    row(Some("Role"), &[], role),
    row(Some("Principal"), &[("principal", "arn")], principal),
    row(None, &[("principal", "kind")], |_, kind| {
        let is_known = KINDS.contains(&kind);
        (!is_known).then(|| unlisted("kind of principal", kind, &KINDS.join(", ")))
    }),
    row(None, &[("context", "kmsOperation")], operation),
    row(None, &[CLIENT_CERTIFICATE], |_, name| {
        let is_known = is_client_certificate(name);
        (!is_known).then(|| {
            unlisted(
                "result of client authentication",
                name,
                &client_certificates(),
            )
        })
    }),
    row(None, &[("context", "awsSourceVpc")], |_, id| {
        let problem = vpc_problem("vpc-", id)?;
        Some(format!("compares {id:?} with the id of a VPC, {problem}"))
    }),
    row(
        None,
        &[
            ("context", "awsSourceVpce"),
            ("context", "transport_vpc_endpoint"),
        ],
        |_, id| {
            let problem = vpc_problem("vpce-", id)?;
            Some(format!(
                "compares {id:?} with the id of a VPC endpoint, {problem}"
            ))
        },
    ),
    row(None, &[("context", "kmsKeyArn")], key_arn),
    row(None, &[VIA_SERVICE], via_service),
];

impl NameKind {
    /// Returns the kind of the ids of this entity type.
    pub(super) fn of_entity(entity: &str) -> Option<Self> {
        let is_it = |row: &Row| row.entity == Some(entity);
        TABLE.iter().position(is_it).map(Self)
    }

    /// Returns the kind of the values of `variable.attribute`.
    pub(super) fn of_attribute(attribute: (&str, &str)) -> Option<Self> {
        let is_it = |row: &Row| row.attributes.contains(&attribute);
        TABLE.iter().position(is_it).map(Self)
    }

    /// Returns whether this is the kind of the values of `variable.attribute`.
    pub(super) fn is_of_attribute(self, attribute: (&str, &str)) -> bool {
        Self::of_attribute(attribute) == Some(self)
    }

    /// Returns why the name cannot exist, as text that follows the name of the rule. None when it can exist.
    pub(super) fn problem(self, names: &Names, name: &str) -> Option<String> {
        let row = TABLE.get(self.0)?;
        (row.problem)(names, name)
    }
}

fn key(names: &Names, name: &str) -> Option<String> {
    match name.contains('/') {
        true => unknown("key", name, &names.keys),
        false => Some(format!("names the key {name:?}; write it as \"store/id\"")),
    }
}

fn account(_: &Names, id: &str) -> Option<String> {
    let problem = || format!("names the account {id:?}, but an account id has twelve digits");
    (!is_account(id)).then(problem)
}

fn role(names: &Names, arn: &str) -> Option<String> {
    let problem = match Role::of_arn(arn) {
        Some(_) => partition::problem(arn, &names.regions)?,
        None => role_problem(arn),
    };
    Some(format!("names the role {arn:?}, {problem}"))
}

fn principal(names: &Names, arn: &str) -> Option<String> {
    let form = principal_problem(arn).map(|problem| format!("which {problem}"));
    let problem = form.or_else(|| partition::problem(arn, &names.regions))?;
    Some(format!("names the principal {arn:?}, {problem}"))
}

fn operation(_: &Names, name: &str) -> Option<String> {
    let known = OPERATIONS.join(", ");
    (!OPERATIONS.contains(&name)).then(|| {
        format!(
            "names the KMS operation {name:?}, which does not use an external key as far as this version knows; known are: {known}"
        )
    })
}

fn key_arn(names: &Names, arn: &str) -> Option<String> {
    let form = key_arn_problem(arn).map(str::to_owned);
    let problem = form.or_else(|| partition::problem(arn, &names.regions))?;
    Some(format!(
        "compares {arn:?} with the ARN of a KMS key, {problem}"
    ))
}

fn via_service(_: &Names, text: &str) -> Option<String> {
    let name = shorter_service(text)?;
    Some(format!(
        "compares {text:?} with kmsViaService, which contains only the service's name, without Region and suffix; write {name:?}"
    ))
}

fn unlisted(kind: &str, name: &str, known: &str) -> String {
    format!("names the {kind} {name:?}; known are: {known}")
}

fn unknown(kind: &str, name: &str, known: &BTreeSet<String>) -> Option<String> {
    if known.contains(name) {
        return None;
    }
    let missing = format!("names the {kind} {name:?}, which the configuration does not have");
    Some(match nearest(name, known.iter().map(String::as_str)) {
        Some(similar) => format!("{missing}; did you mean {similar:?}?"),
        None => missing,
    })
}

/// Returns why the ARN is not that of a role, as text that follows a comma.
fn role_problem(arn: &str) -> String {
    let session = arn.split_once(":assumed-role/");
    let session_role = session.and_then(|(account, rest)| {
        let (name, _) = rest.split_once('/').unwrap_or((rest, ""));
        let account = account.replacen(":sts:", ":iam:", 1);
        let role = format!("{account}:role/{name}");
        Role::of_arn(&role).is_some().then_some(role)
    });
    match session_role {
        Some(role) => format!("which is a session; its role is {role:?}"),
        None => "which is not the ARN of a role, such as \"arn:aws:iam::111122223333:role/Orders\""
            .to_owned(),
    }
}
