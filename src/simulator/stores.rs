//! A custom key store: what it is made of, and how KMS describes it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::exception::Exception;
use super::faults::ConnectionError;
use super::link::Recipe;
use super::random;
use super::state::{Live, now};
use crate::secret::Secret;

/// A custom key store of type EXTERNAL_KEY_STORE.
#[derive(Serialize, Deserialize)]
pub(super) struct Store {
    pub(super) id: String,
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) created: f64,
    pub(super) proxy: ProxyConfiguration,
    pub(super) state: ConnectionState,
    /// Each attempt to connect has its number: one that was overtaken changes nothing.
    #[serde(skip)]
    pub(super) attempt: u64,
    /// Counts the updates of the proxy's configuration.
    #[serde(skip)]
    pub(super) revision: u64,
    #[serde(skip)]
    pub(super) live: Arc<Live>,
}

/// How KMS reaches the proxy.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ProxyConfiguration {
    pub(super) connectivity: Connectivity,
    /// `https://` and a DNS name.
    pub(super) endpoint: String,
    /// To `/kms/xks/v1`.
    pub(super) path: String,
    pub(super) service_name: Option<String>,
    /// The account that has the endpoint service; none in state files of older versions, and without a service.
    #[serde(default)]
    pub(super) service_owner: Option<String>,
    pub(super) credential: ProxyCredential,
}

/// What KMS signs with.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ProxyCredential {
    pub(super) access_key_id: String,
    #[serde(with = "revealed")]
    pub(super) secret: Secret,
    /// Since when KMS has it, in seconds since 1970.
    pub(super) since: f64,
}

/// By which way KMS reaches the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Connectivity {
    PublicEndpoint,
    VpcEndpointService,
}

/// Whether a store is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ConnectionState {
    Connected,
    Connecting,
    Disconnected,
    Failed(ConnectionError),
}

impl ConnectionState {
    /// KMS's word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "CONNECTED",
            Self::Connecting => "CONNECTING",
            Self::Disconnected => "DISCONNECTED",
            Self::Failed(_) => "FAILED",
        }
    }
}

impl Store {
    /// A store that nobody has connected yet.
    pub(super) fn new(name: &str, proxy: &ProxyConfiguration) -> Result<Self, Exception> {
        let digits = crate::hex::encode(&random::bytes::<9>()?);
        // As long as KMS's own.
        let id = format!("cks-{}", digits.get(..17).unwrap_or_default());
        Ok(Self {
            id,
            name: name.to_owned(),
            created: now(),
            proxy: proxy.clone(),
            state: ConnectionState::Disconnected,
            attempt: 0,
            revision: 0,
            live: Arc::default(),
        })
    }

    /// How DescribeCustomKeyStores shows it: without the secret.
    pub(super) fn described(&self) -> Value {
        let proxy = &self.proxy;
        let mut configuration = json!({
            "Connectivity": proxy.connectivity,
            "AccessKeyId": proxy.credential.access_key_id,
            "UriEndpoint": proxy.endpoint,
            "UriPath": proxy.path,
        });
        if let (Some(name), Some(members)) = (&proxy.service_name, configuration.as_object_mut()) {
            members.insert("VpcEndpointServiceName".to_owned(), json!(name));
            if let Some(owner) = &proxy.service_owner {
                members.insert("VpcEndpointServiceOwner".to_owned(), json!(owner));
            }
        }
        let mut described = json!({
            "CustomKeyStoreId": self.id,
            "CustomKeyStoreName": self.name,
            "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
            "ConnectionState": self.state.as_str(),
            "CreationDate": self.created,
            "XksProxyConfiguration": configuration,
        });
        if let (ConnectionState::Failed(code), Some(members)) =
            (self.state, described.as_object_mut())
        {
            members.insert("ConnectionErrorCode".to_owned(), json!(code));
        }
        described
    }

    /// Whether the keys in it can be used.
    pub(super) fn is_connected(&self) -> bool {
        self.state == ConnectionState::Connected
    }
}

impl ProxyConfiguration {
    /// How to reach the proxy from this Region.
    pub(super) fn recipe(&self, region: &str) -> Recipe {
        let host = self.endpoint.strip_prefix("https://");
        Recipe {
            host: host.unwrap_or_default().to_ascii_lowercase(),
            path: self.path.clone(),
            region: region.to_owned(),
            access_key_id: self.credential.access_key_id.clone(),
            secret: self.credential.secret.clone(),
        }
    }
}

/// A secret in the state file.
mod revealed {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::secret::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}
