//! Custom key stores and their description.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::secret::Secret;
use crate::simulator::crypto::random;
use crate::simulator::proxy::errors::ConnectionError;
use crate::simulator::proxy::link::LinkSettings;
use crate::simulator::state::runtime::StoreRuntime;
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::Exception;

/// A custom key store of type EXTERNAL_KEY_STORE.
#[derive(Serialize, Deserialize)]
pub(in crate::simulator) struct CustomKeyStore {
    pub(in crate::simulator) id: String,
    pub(in crate::simulator) name: String,
    /// Seconds since 1970.
    pub(in crate::simulator) created: f64,
    pub(in crate::simulator) proxy: ProxyConfiguration,
    pub(in crate::simulator) state: ConnectionState,
    /// The number of the last attempt to connect. Earlier attempts have no effect.
    #[serde(skip)]
    pub(in crate::simulator) attempt: u64,
    /// Counts the updates of the configuration of the proxy.
    #[serde(skip)]
    pub(in crate::simulator) revision: u64,
    #[serde(skip)]
    pub(in crate::simulator) runtime: Arc<StoreRuntime>,
}

/// The configuration of the proxy of a store.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::simulator) struct ProxyConfiguration {
    pub(in crate::simulator) connectivity: Connectivity,
    /// `https://` and the DNS name.
    pub(in crate::simulator) endpoint: String,
    /// The path, up to and including `/kms/xks/v1`.
    pub(in crate::simulator) path: String,
    pub(in crate::simulator) service_name: Option<String>,
    /// The account that owns the endpoint service. None in state files of older versions and for public endpoints.
    #[serde(default)]
    pub(in crate::simulator) service_owner: Option<String>,
    pub(in crate::simulator) credential: ProxyCredential,
}

/// The credential with which KMS signs requests to the proxy.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::simulator) struct ProxyCredential {
    pub(in crate::simulator) access_key_id: String,
    #[serde(with = "secret_text")]
    pub(in crate::simulator) secret: Secret,
    /// The time when KMS received the credential, in seconds since 1970.
    pub(in crate::simulator) since: f64,
}

/// The kind of connection to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in crate::simulator) enum Connectivity {
    PublicEndpoint,
    VpcEndpointService,
}

/// The connection state of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in crate::simulator) enum ConnectionState {
    Connected,
    Connecting,
    Disconnected,
    Failed(ConnectionError),
}

impl ConnectionState {
    /// Returns the name of the state in the KMS API.
    pub(in crate::simulator) fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "CONNECTED",
            Self::Connecting => "CONNECTING",
            Self::Disconnected => "DISCONNECTED",
            Self::Failed(_) => "FAILED",
        }
    }
}

impl CustomKeyStore {
    /// Creates a disconnected store.
    pub(in crate::simulator) fn new(
        name: &str,
        proxy: &ProxyConfiguration,
    ) -> Result<Self, Exception> {
        let digits = crate::hex::encode(&random::bytes::<9>()?);
        // The ids of KMS have the same length.
        let id = format!("cks-{}", digits.get(..17).unwrap_or_default());
        Ok(Self {
            id,
            name: name.to_owned(),
            created: now(),
            proxy: proxy.clone(),
            state: ConnectionState::Disconnected,
            attempt: 0,
            revision: 0,
            runtime: Arc::default(),
        })
    }

    /// Returns the store in the form of DescribeCustomKeyStores, without the secret.
    pub(in crate::simulator) fn to_description(&self) -> Value {
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

    /// Returns whether the store is connected, so that its keys can be used.
    pub(in crate::simulator) fn is_connected(&self) -> bool {
        self.state == ConnectionState::Connected
    }
}

impl ProxyConfiguration {
    /// Returns the settings of a link to the proxy from this Region.
    pub(in crate::simulator) fn link_settings(&self, region: &str) -> LinkSettings {
        let host = self.endpoint.strip_prefix("https://");
        LinkSettings {
            host: host.unwrap_or_default().to_ascii_lowercase(),
            path: self.path.clone(),
            region: region.to_owned(),
            access_key_id: self.credential.access_key_id.clone(),
            secret: self.credential.secret.clone(),
        }
    }
}

/// Writes and reads a secret in the state file.
mod secret_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::secret::Secret;

    pub(in crate::simulator) fn serialize<S: Serializer>(
        secret: &Secret,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(in crate::simulator) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}
