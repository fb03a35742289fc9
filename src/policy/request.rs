//! A request in Cedar's terms: principal, action, resource and context, as the schema defines them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use time::OffsetDateTime;

use super::principal::{Parts, account_of};
use super::roles::Roles;
use crate::connections::ClientCertificate;
use crate::partitions::service_name;
use crate::proxy_protocol::VpcEndpointId;
use crate::xks::RequestMetadata;

/// The operation on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the specification's own names")]
pub enum Action {
    Encrypt,
    Decrypt,
    GetKeyMetadata,
}

impl Action {
    /// Returns the name of the action in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
            Self::GetKeyMetadata => "GetKeyMetadata",
        }
    }
}

/// An authorization request: everything that a policy can read.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// The operation.
    pub action: Action,
    /// The key store's name.
    pub store: &'a str,
    /// The key store's region.
    pub region: &'a str,
    /// The id of the external key.
    pub key: &'a str,
    /// The labels of the key's versions in the HSM.
    pub labels: &'a [String],
    /// The tags of the key, as name and value.
    pub tags: &'a [(String, String)],
    /// The `requestMetadata` that KMS sent.
    pub metadata: &'a RequestMetadata,
    /// The result of client authentication on the connection.
    pub client_certificate: ClientCertificate,
    /// The load balancer's data about the connection.
    pub transport: Transport,
    /// The time of the request.
    pub now: SystemTime,
}

/// A load balancer's data about the connection of a request, from its PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transport {
    /// The VPC endpoint. None without AWS PrivateLink or without PROXY protocol.
    pub vpc_endpoint: Option<VpcEndpointId>,
    /// The client's address. None without PROXY protocol.
    pub client: Option<IpAddr>,
}

type Fields = HashMap<String, RestrictedExpression>;

impl AuthorizationRequest<'_> {
    /// Returns Cedar's request and its entities. None when a part of the request cannot be expressed in Cedar.
    /// The parents of the principal are its own roles among `roles`.
    pub(super) fn cedar_request(&self, roles: &Roles) -> Option<(Request, Entities)> {
        let (principal, mut entities) = self.principal(roles)?;
        let store = uid("KeyStore", self.store)?;
        let fields = Fields::from([text("name", self.store), text("region", self.region)]);
        entities.push(Entity::new(store.clone(), fields, HashSet::new()).ok()?);
        let key = self.key(store)?;
        let resource = key.uid();
        entities.push(key);
        let action = uid("Action", self.action.as_str())?;
        let context = Context::from_pairs(self.context()?).ok()?;
        let request = Request::new(principal, action, resource, context, None).ok()?;
        let groups = self.action_groups()?;
        entities.extend(groups);
        Some((request, Entities::from_entities(entities, None).ok()?))
    }

    /// Returns the action as a member of its group. Cedar takes membership from the entities only.
    fn action_groups(&self) -> Option<Vec<Entity>> {
        let group = match self.action {
            Action::Encrypt | Action::Decrypt => "Use",
            Action::GetKeyMetadata => "Describe",
        };
        let (action, group) = (uid("Action", self.action.as_str())?, uid("Action", group)?);
        Some(vec![Entity::new_no_attrs(action, HashSet::from([group]))])
    }

    fn principal(&self, roles: &Roles) -> Option<(EntityUid, Vec<Entity>)> {
        let arn = self
            .metadata
            .aws_principal_arn
            .as_deref()
            .unwrap_or_default();
        let parts = Parts::parse(arn);
        let mut fields = Fields::from([text("arn", arn), text("kind", parts.kind)]);
        let known = [
            ("account", parts.account),
            ("name", parts.name),
            ("session", parts.session),
        ];
        fields.extend(
            known
                .into_iter()
                .filter_map(|(name, value)| Some(text(name, value?))),
        );
        let account = parts.account.map(|id| uid("Account", id));
        let account = account.into_iter().flatten().collect::<HashSet<_>>();
        let mut entities = Vec::new();
        let mut parents = account.clone();
        for role in parts.role.iter().flat_map(|role| roles.matching(role)) {
            entities.push(Entity::new_no_attrs(role.clone(), account.clone()));
            parents.insert(role);
        }
        let principal = uid("Principal", arn)?;
        entities.push(Entity::new(principal.clone(), fields, parents).ok()?);
        Some((principal, entities))
    }

    fn key(&self, store: EntityUid) -> Option<Entity> {
        let name = format!("{}/{}", self.store, self.key);
        let labels = self
            .labels
            .iter()
            .cloned()
            .map(RestrictedExpression::new_string);
        let labels = ("labels".to_owned(), RestrictedExpression::new_set(labels));
        let fields = Fields::from([text("id", self.key), text("store", self.store), labels]);
        let tags = self.tags.iter().map(|(name, value)| text(name, value));
        Entity::new_with_tags(uid("Key", &name)?, fields, HashSet::from([store]), tags).ok()
    }

    fn context(&self) -> Option<Fields> {
        let (metadata, transport) = (self.metadata, &self.transport);
        let arn = metadata.kms_key_arn.as_deref();
        let via = metadata.kms_via_service.as_deref();
        let known = [
            ("kmsOperation", Some(metadata.kms_operation.as_str())),
            ("kmsRequestId", Some(metadata.kms_request_id.as_str())),
            ("kmsKeyArn", arn),
            ("kmsKeyAccount", arn.and_then(account_of)),
            ("kmsViaService", via.map(service_name)),
            ("awsSourceVpc", metadata.aws_source_vpc.as_deref()),
            ("awsSourceVpce", metadata.aws_source_vpce.as_deref()),
            (
                "transport_vpc_endpoint",
                transport.vpc_endpoint.as_ref().map(VpcEndpointId::as_str),
            ),
            ("region", Some(self.region)),
            ("client_certificate", Some(self.client_certificate.as_str())),
        ];
        let known = known
            .into_iter()
            .filter_map(|(name, value)| Some(text(name, value?)));
        let mut fields: Fields = known.collect();
        if let Some(client) = transport.client {
            let client = RestrictedExpression::new_ip(client.to_string());
            fields.insert("client_address".to_owned(), client);
        }
        fields.insert("other".to_owned(), self.other()?);
        let now = OffsetDateTime::from(self.now);
        let number = |n: u8| RestrictedExpression::new_long(n.into());
        fields.insert("hour".to_owned(), number(now.hour()));
        let weekday = now.weekday().number_from_monday();
        fields.insert("weekday".to_owned(), number(weekday));
        fields.insert("now".to_owned(), datetime(self.now));
        Some(fields)
    }

    /// Returns the fields that the specification does not define. Each value becomes a text.
    fn other(&self) -> Option<RestrictedExpression> {
        let field = |(name, value): (&String, &serde_json::Value)| {
            let value = match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            RestrictedExpression::new_record([text("name", name), text("value", &value)]).ok()
        };
        let fields: Option<Vec<_>> = self.metadata.other.iter().map(field).collect();
        Some(RestrictedExpression::new_set(fields?))
    }
}

/// The entity types of the schema. They are parsed once because Cedar parses a type name as slowly as a policy.
static TYPES: LazyLock<HashMap<&str, EntityTypeName>> = LazyLock::new(|| {
    let kinds = ["Account", "Action", "Key", "KeyStore", "Principal"];
    let parsed = |kind| Some((kind, format!("Xks::{kind}").parse().ok()?));
    kinds.into_iter().filter_map(parsed).collect()
});

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind = TYPES.get(kind)?.clone();
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn text(name: &str, value: &str) -> (String, RestrictedExpression) {
    let value = RestrictedExpression::new_string(value.to_owned());
    (name.to_owned(), value)
}

/// Returns a time as Cedar's datetime, which has a resolution of 1 ms.
fn datetime(now: SystemTime) -> RestrictedExpression {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = "1970-01-01T00:00:00.000Z";
    let now = OffsetDateTime::from(UNIX_EPOCH + since);
    let text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.millisecond()
    );
    // Cedar's form has years of four digits only.
    RestrictedExpression::new_datetime(if text.len() == epoch.len() {
        &text
    } else {
        epoch
    })
}
