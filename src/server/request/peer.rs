//! The client at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::connections::{ClientCertificate, Handle, Source, Standing};
use crate::policy::Transport;
use crate::proxy_protocol::{Proxied, VpcEndpointId};
use crate::server::unverified::ClientClass;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(in crate::server) struct Peer {
    /// Its address: the other end of the socket.
    pub address: SocketAddr,
    /// The client that a load balancer relays, as its PROXY header says.
    pub client: Option<Proxied>,
    /// What limits and aggregated log lines count it under.
    pub source: Source,
    /// What it has shown of its client.
    pub certificate: ClientCertificate,
    /// The subject of its certificate, if that is verified.
    pub subject: Option<Arc<str>>,
    /// Its connection.
    pub connection: Handle,
}

impl Peer {
    /// The client's address in the PROXY header.
    pub(in crate::server) fn client_address(&self) -> Option<SocketAddr> {
        self.client.map(|client| client.client)
    }

    /// What policies may know of the connection.
    pub(in crate::server) fn transport(&self) -> Transport {
        Transport {
            vpc_endpoint: self.vpc_endpoint().copied(),
            client: self.client_address().map(|client| client.ip()),
        }
    }

    /// The VPC endpoint through which the connection has come.
    pub(in crate::server) fn vpc_endpoint(&self) -> Option<&VpcEndpointId> {
        self.client.as_ref()?.vpc_endpoint.as_ref()
    }

    /// Against which budget its requests count until their signature is verified.
    pub(in crate::server) fn client_class(&self) -> ClientClass {
        match self.connection.standing() {
            Standing::Verified => ClientClass::Verified,
            Standing::Known => ClientClass::Known,
            Standing::Unknown => ClientClass::Unknown(self.source.clone()),
        }
    }

    /// Notes that a request of this peer was verified: from here on no stranger displaces its connection.
    pub(in crate::server) fn mark_verified(&self) {
        self.connection.mark_verified();
    }
}
