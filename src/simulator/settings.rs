//! The settings of a simulator.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::simulator::callers::credentials::KmsCredentials;
use crate::simulator::callers::principals::Principals;
use crate::simulator::cloudtrail::TrailSettings;
use crate::simulator::proxy::client_certificate::ClientCertificateKind;
use crate::simulator::state::endpoint_services::EndpointServices;

/// The settings of a simulator.
#[derive(Debug)]
pub struct Settings {
    /// The address to listen on, without TLS. With port 0 the system chooses a port.
    pub listen: SocketAddr,
    /// Certificate authorities (DER) for the certificates of proxies, in addition to the public ones.
    pub authorities: Vec<Vec<u8>>,
    /// Addresses of proxies by host name. Other host names are resolved with DNS, and the port is 443.
    pub resolve: HashMap<String, SocketAddr>,
    /// The directory for client certificates. Without it, no client certificate can be presented.
    pub identity: Option<PathBuf>,
    /// The kind of client certificate that is presented at first.
    pub client_certificate: ClientCertificateKind,
    /// The credentials of callers. If none, every caller is accepted.
    pub credentials: Option<KmsCredentials>,
    /// Tags and identity policies of callers. If none, identity policies allow everything.
    pub principals: Option<Principals>,
    /// The state file. If none, the state is in memory only.
    pub state: Option<PathBuf>,
    /// The quota of each store, in cryptographic requests per second.
    pub quota: u32,
    /// The time limit for a call to a proxy.
    pub timeout: Duration,
    /// VPC endpoint services. If the list is empty, every name is a service.
    pub endpoint_services: EndpointServices,
    /// The interval between health checks of a connected store.
    pub health_interval: Duration,
    /// The settings of CloudTrail. If none, CloudTrail is off.
    pub trail: Option<TrailSettings>,
    /// True if a time-out of a cryptographic operation is a KMSInternalException instead of a KMSInvalidStateException.
    pub internal_timeouts: bool,
    /// True if events are JSON lines instead of text.
    pub json: bool,
}
