//! The client at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::connections::{ClientCertificate, Handle, Source, Standing};
use crate::policy::Transport;
use crate::proxy_protocol::{Proxied, VpcEndpointId};
use crate::server::unverified::ClientClass;

/// The client at the other end of a connection, and its connection.
#[derive(Debug)]
pub(in crate::server) struct Peer {
    /// The remote address of the socket.
    pub address: SocketAddr,
    /// The client in the PROXY header of a load balancer.
    pub client: Option<Proxied>,
    /// The source under which limits and aggregated log lines count the connection.
    pub source: Source,
    /// The result of client authentication.
    pub certificate: ClientCertificate,
    /// The subject of the client certificate if it is verified.
    pub subject: Option<Arc<str>>,
    /// The connection.
    pub connection: Handle,
}

impl Peer {
    /// Returns the client's address in the PROXY header.
    pub(in crate::server) fn client_address(&self) -> Option<SocketAddr> {
        self.client.map(|client| client.client)
    }

    /// Returns the properties of the connection that policies may use.
    pub(in crate::server) fn transport(&self) -> Transport {
        Transport {
            vpc_endpoint: self.vpc_endpoint().copied(),
            client: self.client_address().map(|client| client.ip()),
        }
    }

    /// Returns the VPC endpoint of the connection.
    pub(in crate::server) fn vpc_endpoint(&self) -> Option<&VpcEndpointId> {
        self.client.as_ref()?.vpc_endpoint.as_ref()
    }

    /// Returns the class of the client. It selects the budget of its requests until their signature is verified.
    pub(in crate::server) fn client_class(&self) -> ClientClass {
        match self.connection.standing() {
            Standing::Verified => ClientClass::Verified,
            Standing::Known => ClientClass::Known,
            Standing::Unknown => ClientClass::Unknown(self.source.clone()),
        }
    }

    /// Records that a request on the connection was verified. From now on, no unverified connection displaces it.
    pub(in crate::server) fn mark_verified(&self) {
        self.connection.mark_verified();
    }
}

#[cfg(test)]
pub(in crate::server) mod tests {
    use super::*;
    use crate::connections::{ConnectionMetrics, Connections};
    use crate::metrics::Metrics;
    use crate::server::settings::Limits;

    /// Returns the client of a new connection.
    pub(in crate::server) fn any_peer() -> Peer {
        let metrics = ConnectionMetrics::declare(&Metrics::default()).unwrap();
        let connections = Connections::new("test", Limits::default().pool(), &metrics);
        let address = SocketAddr::from(([192, 0, 2, 1], 50_000));
        let slot = connections.admit(address).unwrap();
        Peer {
            address,
            client: None,
            source: slot.source().clone(),
            certificate: ClientCertificate::default(),
            subject: None,
            connection: slot.handle(),
        }
    }
}
