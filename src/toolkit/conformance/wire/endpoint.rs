//! The address of a proxy, and TCP connections to it.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// The address of a proxy.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its DNS name or IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The address to connect to instead of resolving `host`.
    pub address: Option<SocketAddr>,
    /// The timeout of the connection and of each read and write.
    pub timeout: Duration,
}

impl Endpoint {
    /// Returns the value of the Host field, without the port when it is 443.
    pub fn authority(&self) -> String {
        match self.port {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }

    /// Opens a TCP connection to the given address, or to the first address of the name that accepts it.
    ///
    /// # Errors
    /// The error of the last address, or of the resolver.
    pub fn dial(&self) -> io::Result<TcpStream> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut last = io::Error::other("the name has no address");
        let addresses: Vec<SocketAddr> = match self.address {
            Some(address) => vec![address],
            None => (host, self.port).to_socket_addrs()?.collect(),
        };
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.timeout) {
                Ok(socket) => return self.configured(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn configured(&self, socket: TcpStream) -> io::Result<TcpStream> {
        socket.set_read_timeout(Some(self.timeout))?;
        socket.set_write_timeout(Some(self.timeout))?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}
