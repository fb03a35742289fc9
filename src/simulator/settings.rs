//! What a simulator is started with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::simulator::callers::credentials::KmsCredentials;
use crate::simulator::callers::principals::Principals;
use crate::simulator::cloudtrail::TrailSettings;
use crate::simulator::proxy::client_certificate::ClientCertificateKind;
use crate::simulator::state::endpoint_services::EndpointServices;

/// What a simulator is started with.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen, plain HTTP; port 0 is any.
    pub listen: SocketAddr,
    /// Authorities of proxies' certificates besides the public ones, DER.
    pub authorities: Vec<Vec<u8>>,
    /// Where the proxy of a DNS name listens, if not where DNS says, on port 443.
    pub resolve: HashMap<String, SocketAddr>,
    /// Where the client certificates are kept; without it the only kind is none.
    pub identity: Option<PathBuf>,
    /// Which client certificate is presented at first.
    pub client_certificate: ClientCertificateKind,
    /// Who may call; none: anybody.
    pub credentials: Option<KmsCredentials>,
    /// Tags and identity policies of those who may call; none: identity policies allow everything.
    pub principals: Option<Principals>,
    /// Where the state is kept; none: in memory only.
    pub state: Option<PathBuf>,
    /// Cryptographic requests per second and store.
    pub quota: u32,
    /// How long a proxy has for an answer.
    pub timeout: Duration,
    /// VPC endpoint services; none: every name is one.
    pub endpoint_services: EndpointServices,
    /// From one health check of a connected store to the next.
    pub health_interval: Duration,
    /// Where CloudTrail's files are written; none: nowhere.
    pub trail: Option<TrailSettings>,
    /// Time-outs of cryptographic operations are KMSInternalException instead of KMSInvalidStateException.
    pub internal_timeouts: bool,
    /// Events as JSON lines.
    pub json: bool,
}
