//! A request in Cedar's terms: principal, action, resource and context as the schema has them.

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

/// What is to be done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the specification's own names")]
pub enum Action {
    Encrypt,
    Decrypt,
    GetKeyMetadata,
}

impl Action {
    /// Its name in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
            Self::GetKeyMetadata => "GetKeyMetadata",
        }
    }
}

/// Everything that a policy may look at.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is to be done.
    pub action: Action,
    /// The key store's name.
    pub store: &'a str,
    /// The key store's region.
    pub region: &'a str,
    /// The external key's id.
    pub key: &'a str,
    /// How its versions are called in the HSM.
    pub labels: &'a [String],
    /// What its owner has tagged it with.
    pub tags: &'a [(String, String)],
    /// What KMS says of the request.
    pub metadata: &'a RequestMetadata,
    /// What the connection has shown of its client.
    pub client_certificate: ClientCertificate,
    /// How it came.
    pub transport: Transport,
    /// When it came.
    pub now: SystemTime,
}

/// What a load balancer says of the connection of a request, in its PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transport {
    /// The VPC endpoint; none without AWS PrivateLink, and without PROXY protocol.
    pub vpc_endpoint: Option<VpcEndpointId>,
    /// The client's address; none without PROXY protocol.
    pub client: Option<IpAddr>,
}

type Fields = HashMap<String, RestrictedExpression>;

impl Question<'_> {
    /// The request with its entities; none when a part of it cannot be said in Cedar.
    /// The principal is in those of the `roles` that are its own.
    pub(super) fn ask(&self, roles: &Roles) -> Option<(Request, Entities)> {
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

    /// An action is in its group by the entities, as everything else.
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
        let parts = Parts::of(arn);
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

    /// Fields that the specification does not name: whatever they are, as a text.
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

/// The types of the schema. Cedar parses their names as it parses policies: once is enough.
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

/// Cedar's datetime is in milliseconds.
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
    // Years of more than four digits are not in Cedar's form.
    RestrictedExpression::new_datetime(if text.len() == epoch.len() {
        &text
    } else {
        epoch
    })
}
