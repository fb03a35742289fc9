//! The wire of a real proxy.

use std::net::{SocketAddr, ToSocketAddrs as _};

use thiserror::Error;

use super::lanes::{Answer, Wire};
use crate::client::{CallError, Caller, Connection};
use crate::xks::Operation;

/// A proxy and one of its keys.
pub struct BenchTarget {
    /// How to call it.
    pub caller: Caller,
    /// The external key id that is used.
    pub key: String,
}

/// Why a target gets no load.
#[derive(Debug, Error)]
pub enum TargetError {
    /// The name has no address.
    #[error("{0} has no address: {1}")]
    Unknown(String, String),
    /// Whoever is there has not asked for load.
    #[error(
        "{0} is at {1}, which is not this machine; when the endpoint is yours, and so are its HSM and its quota, say so with --i-own-this-endpoint"
    )]
    Stranger(String, SocketAddr),
}

/// Where the target is, if it was not `given`: the address that is asked is the one that was judged. KMS speaks IPv4, so that comes first.
///
/// # Errors
/// [`TargetError`]: it is nowhere, or on another machine and not said to be one's own.
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
    first.ok_or_else(|| unknown("none is known".to_owned()))
}

impl BenchTarget {
    fn path_of(&self, operation: Operation) -> String {
        match operation {
            Operation::Health => "health".to_owned(),
            operation => format!("keys/{}/{}", self.key, operation.as_str()),
        }
    }
}

impl Wire for BenchTarget {
    type Line = Connection;

    async fn connect(&self) -> Result<Connection, String> {
        self.caller.connect().await.map_err(|error| error.kind())
    }

    async fn call(
        &self,
        line: &mut Connection,
        operation: Operation,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let path = self.path_of(operation);
        let answer = line.call(&self.caller, &path, body).await;
        let answer = answer.map_err(|error: CallError| error.kind())?;
        let (status, body) = (answer.status, answer.body);
        Ok(Answer { status, body })
    }

    fn is_open(line: &Connection) -> bool {
        line.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_nobody_elses() {
        assert!(address_of(None, "127.0.0.1", 1, false).is_ok());
        assert!(address_of(None, "192.0.2.1", 1, false).is_err());
        assert!(address_of(None, "192.0.2.1", 1, true).is_ok());
        let given = "192.0.2.1:1".parse().ok();
        assert!(address_of(given, "127.0.0.1", 1, false).is_err());
        // Any address of this machine means that others may listen as well.
        assert!(address_of(None, "0.0.0.0", 1, false).is_err());
    }
}
