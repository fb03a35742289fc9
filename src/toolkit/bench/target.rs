//! The connection to a real proxy.

use std::net::{SocketAddr, ToSocketAddrs as _};

use thiserror::Error;

use super::pool::{Answer, Wire};
use crate::client::{CallError, Caller, Connection};
use crate::xks::Operation;

/// A proxy and one of its keys.
pub struct BenchTarget {
    /// The proxy and the credential.
    pub caller: Caller,
    /// The external key id.
    pub key: String,
}

/// The reason why a target must not get load.
#[derive(Debug, Error)]
pub enum TargetError {
    /// The name has no address.
    #[error("{0} has no address: {1}")]
    Unknown(String, String),
    /// The target is another machine, and the operator has not confirmed that the load is allowed.
    #[error(
        "{0} has the address {1}, which is not this machine; if you own the endpoint, its HSM and its quota, add --i-own-this-endpoint"
    )]
    Stranger(String, SocketAddr),
}

/// Returns the address of the target: `given`, or the first of the name, IPv4 before IPv6 as KMS uses IPv4. The load uses the address that was checked.
///
/// # Errors
/// [`TargetError`]: the name has no address, or the address is on another machine and the operator has not confirmed it.
pub fn address_of(
    given: Option<SocketAddr>,
    host: &str,
    port: u16,
    is_own: bool,
) -> Result<SocketAddr, TargetError> {
    let address = match given {
        Some(address) => address,
        None => look_up(host, port)?,
    };
    match is_own || address.ip().is_loopback() {
        true => Ok(address),
        false => Err(TargetError::Stranger(host.to_owned(), address)),
    }
}

fn look_up(host: &str, port: u16) -> Result<SocketAddr, TargetError> {
    let unknown = |why: String| TargetError::Unknown(host.to_owned(), why);
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| unknown(error.to_string()))?;
    let mut addresses: Vec<_> = found.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let first = addresses.first().copied();
    first.ok_or_else(|| unknown("no address found".to_owned()))
}

impl BenchTarget {
    fn path(&self, operation: Operation) -> String {
        match operation {
            Operation::Health => "health".to_owned(),
            operation => format!("keys/{}/{}", self.key, operation.as_str()),
        }
    }
}

impl Wire for BenchTarget {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection, String> {
        self.caller.connect().await.map_err(|error| error.kind())
    }

    async fn call(
        &self,
        connection: &mut Connection,
        operation: Operation,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let path = self.path(operation);
        let answer = connection.call(&self.caller, &path, body).await;
        let answer = answer.map_err(|error: CallError| error.kind())?;
        let (status, body) = (answer.status, answer.body);
        Ok(Answer { status, body })
    }

    fn is_open(connection: &Connection) -> bool {
        connection.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_need_no_confirmation() {
        assert!(address_of(None, "127.0.0.1", 1, false).is_ok());
        assert!(address_of(None, "192.0.2.1", 1, false).is_err());
        assert!(address_of(None, "192.0.2.1", 1, true).is_ok());
        let given = "192.0.2.1:1".parse().ok();
        assert!(address_of(given, "127.0.0.1", 1, false).is_err());
        // Any address of this machine means that other machines can connect to it.
        assert!(address_of(None, "0.0.0.0", 1, false).is_err());
    }
}
