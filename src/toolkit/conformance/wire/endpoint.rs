//! The address of a proxy, and TCP connections to it.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// Where a proxy listens.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its DNS name, or its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where to connect instead of where the name leads.
    pub address: Option<SocketAddr>,
    /// How long to wait for a connection and for each read and write.
    pub patience: Duration,
}

impl Endpoint {
    /// The value of the Host field: the port is left out where it is HTTPS's own.
    pub fn authority(&self) -> String {
        match self.port {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// A TCP connection to the address given, or the first of the name that answers.
    ///
    /// # Errors
    /// What the last address said, or the resolver.
    pub fn dial(&self) -> io::Result<TcpStream> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut last = io::Error::other("the name has no address");
        let addresses: Vec<SocketAddr> = match self.address {
            Some(address) => vec![address],
            None => (host, self.port).to_socket_addrs()?.collect(),
        };
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.patience) {
                Ok(socket) => return self.prepared(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn prepared(&self, socket: TcpStream) -> io::Result<TcpStream> {
        socket.set_read_timeout(Some(self.patience))?;
        socket.set_write_timeout(Some(self.patience))?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}
