//! The way to one store's proxy: connections that are kept, and one attempt at a call.
//!
//! # Invariants
//! - A closed link makes no call: whoever still holds it learns that the store is no longer connected.
//! - An attempt ends in time, whatever the proxy does; with it ends the connection on which nothing came.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::net::lookup_host;
use tokio::time::timeout;
use x509_parser::parse_x509_certificate;

use crate::client::{Answer, CallError, Caller, Connection, TlsClient};
use crate::secret::{Secret, SecretBytes};
use crate::sigv4::{Credential, Signer};
use crate::simulator::proxy::client_certificate::ClientCertificateKind;
use crate::simulator::proxy::faults::ProxyFault;
use crate::sync::poisoned;

/// The service of the credential scope (XKS API, section 7).
const SERVICE: &str = "kms-xks-proxy";

/// The only port that KMS knows.
const HTTPS_PORT: u16 = 443;

/// As many connections wait for work at the most.
const MOST_IDLE: usize = 64;

/// How to reach a proxy, and as whom.
pub(in crate::simulator) struct Recipe {
    /// Its DNS name.
    pub(in crate::simulator) host: String,
    /// The `XksProxyUriPath`.
    pub(in crate::simulator) path: String,
    /// Of the store.
    pub(in crate::simulator) region: String,
    pub(in crate::simulator) access_key_id: String,
    pub(in crate::simulator) secret: Secret,
}

/// The way to a proxy.
pub(in crate::simulator) struct Link {
    recipe: Recipe,
    tls: Arc<dyn TlsSource>,
    /// Where it listens, if not where DNS says.
    fixed: Option<SocketAddr>,
    caller: Mutex<Option<(ClientCertificateKind, Arc<Caller>)>>,
    /// With the kind of client certificate that each has presented.
    idle: Mutex<Vec<(ClientCertificateKind, Connection)>>,
    closed: AtomicBool,
}

/// TLS with the client certificate of the moment.
pub(in crate::simulator) trait TlsSource: Send + Sync {
    /// TLS for connections from this Region, and the kind of client certificate that it presents; none if it cannot be set up.
    fn tls(&self, region: &str) -> Option<(ClientCertificateKind, TlsClient)>;
}

/// One attempt at a call, and what it took.
#[derive(Debug)]
pub(in crate::simulator) struct Attempt {
    /// Status and body.
    pub(in crate::simulator) outcome: Result<(u16, SecretBytes), ProxyFault>,
    /// How long a new connection took, where one was made.
    pub(in crate::simulator) connect: Option<Duration>,
    /// All of it.
    pub(in crate::simulator) took: Duration,
    /// The proxy's certificate, where a new connection has shown it.
    pub(in crate::simulator) shown: Option<Shown>,
}

/// A proxy's certificate.
#[derive(Debug)]
pub(in crate::simulator) struct Shown {
    /// When it expires, in seconds since 1970.
    pub(in crate::simulator) expires: i64,
    /// The common name of its subject; empty without one.
    pub(in crate::simulator) name: String,
}

/// What a new connection has cost and shown.
#[derive(Default)]
struct Opened {
    took: Option<Duration>,
    shown: Option<Shown>,
}

impl Link {
    pub(in crate::simulator) fn new(
        recipe: Recipe,
        tls: Arc<dyn TlsSource>,
        fixed: Option<SocketAddr>,
    ) -> Self {
        Self {
            recipe,
            tls,
            fixed,
            caller: Mutex::default(),
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Ends it: no call begins any more, and connections that wait for one are closed.
    pub(in crate::simulator) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        locked(&self.idle).clear();
    }

    /// Whether it has ended.
    pub(in crate::simulator) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Calls `operation`, which is what follows the `XksProxyUriPath`, and waits so long at the most.
    pub(in crate::simulator) async fn attempt(
        &self,
        operation: &str,
        body: &[u8],
        limit: Duration,
    ) -> Attempt {
        let (start, mut opened) = (Instant::now(), Opened::default());
        let answer = timeout(limit, self.exchange(operation, body, &mut opened)).await;
        let outcome = match answer {
            Err(_) => Err(ProxyFault::TimedOut),
            Ok(Err(fault)) => Err(fault),
            Ok(Ok(answer)) => Ok((answer.status, answer.body)),
        };
        if outcome.is_err() {
            // The name may have another address by now.
            locked(&self.caller).take();
        }
        Attempt {
            outcome,
            connect: opened.took,
            took: start.elapsed(),
            shown: opened.shown,
        }
    }

    async fn exchange(
        &self,
        operation: &str,
        body: &[u8],
        opened: &mut Opened,
    ) -> Result<Answer, ProxyFault> {
        let (kind, caller) = self.caller().await?;
        self.may_call()?;
        if let Some(mut kept) = self.kept(kind) {
            match kept.call(&caller, operation, body.to_vec()).await {
                // The proxy has closed it meanwhile, as it may at any time: that says nothing about the proxy.
                Err(CallError::Http(error)) if !error.is_parse() => {}
                answer => return self.done((kind, kept), answer),
            }
        }
        self.may_call()?;
        let start = Instant::now();
        let connection = caller.connect().await;
        opened.took = Some(start.elapsed());
        let mut connection = connection.map_err(|error| fault_of(&error))?;
        opened.shown = shown(&connection);
        self.may_call()?;
        let answer = connection.call(&caller, operation, body.to_vec()).await;
        self.done((kind, connection), answer)
    }

    /// To be asked before each request, and again after each wait: the store may have been disconnected meanwhile.
    fn may_call(&self) -> Result<(), ProxyFault> {
        match self.is_closed() {
            true => Err(ProxyFault::NotReachable),
            false => Ok(()),
        }
    }

    fn done(
        &self,
        (kind, connection): (ClientCertificateKind, Connection),
        answer: Result<Answer, CallError>,
    ) -> Result<Answer, ProxyFault> {
        let answer = answer.map_err(|error| fault_of(&error))?;
        let mut idle = locked(&self.idle);
        if idle.len() < MOST_IDLE && connection.is_open() && !self.is_closed() {
            idle.push((kind, connection));
        }
        Ok(answer)
    }

    /// A connection that waits for work, if one is still open that has presented this kind of client certificate.
    fn kept(&self, wanted: ClientCertificateKind) -> Option<Connection> {
        let mut idle = locked(&self.idle);
        while let Some((kind, connection)) = idle.pop() {
            if kind == wanted && connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    async fn caller(&self) -> Result<(ClientCertificateKind, Arc<Caller>), ProxyFault> {
        let tls = self.tls.tls(&self.recipe.region);
        let (kind, tls) = tls.ok_or(ProxyFault::NotReachable)?;
        let known = locked(&self.caller).clone();
        if let Some(known) = known.filter(|(known, _)| *known == kind) {
            return Ok(known);
        }
        let made = Arc::new(self.new_caller(self.address().await?, tls)?);
        *locked(&self.caller) = Some((kind, Arc::clone(&made)));
        Ok((kind, made))
    }

    fn new_caller(&self, address: SocketAddr, tls: TlsClient) -> Result<Caller, ProxyFault> {
        let recipe = &self.recipe;
        let credential = Credential::new(&recipe.access_key_id, recipe.secret.clone());
        // The rules were checked when the store got it.
        let credential = credential.map_err(|_| ProxyFault::NotReachable)?;
        Ok(Caller {
            address,
            host: recipe.host.clone(),
            named_port: HTTPS_PORT,
            path: recipe.path.clone(),
            signer: Signer::new(credential, &recipe.region, SERVICE),
            tls,
        })
    }

    /// KMS connects over IPv4.
    async fn address(&self) -> Result<SocketAddr, ProxyFault> {
        if let Some(fixed) = self.fixed {
            return Ok(fixed);
        }
        let unknown = |_| ProxyFault::NotReachable;
        let found = lookup_host((self.recipe.host.as_str(), HTTPS_PORT)).await;
        let mut found = found.map_err(unknown)?;
        found
            .find(SocketAddr::is_ipv4)
            .ok_or(ProxyFault::NotReachable)
    }
}

fn fault_of(error: &CallError) -> ProxyFault {
    match error {
        error if error.is_about_tls() => ProxyFault::Tls,
        CallError::Http(error) if error.is_parse() => ProxyFault::InvalidResponse,
        CallError::Body => ProxyFault::InvalidResponse,
        CallError::Connect(_)
        | CallError::Tls(_)
        | CallError::HostName(_)
        | CallError::Http(_)
        | CallError::Request => ProxyFault::NotReachable,
    }
}

fn shown(connection: &Connection) -> Option<Shown> {
    let certificate = connection.handshake().chain.first()?;
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next();
    let name = name.and_then(|name| name.as_str().ok());
    Some(Shown {
        expires: parsed.validity().not_after.timestamp(),
        name: name.unwrap_or_default().to_owned(),
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(poisoned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Trust;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpSocket};

    struct WithoutCertificate;

    impl TlsSource for WithoutCertificate {
        fn tls(&self, _: &str) -> Option<(ClientCertificateKind, TlsClient)> {
            let tls = TlsClient::new(Trust::PublicAnd(vec![]), None).unwrap();
            Some((ClientCertificateKind::None, tls))
        }
    }

    fn link(address: SocketAddr) -> Link {
        let recipe = Recipe {
            host: "proxy.test".into(),
            path: "/kms/xks/v1".into(),
            region: "eu-west-1".into(),
            access_key_id: "A".repeat(20),
            secret: Secret::new("s".repeat(43)),
        };
        Link::new(recipe, Arc::new(WithoutCertificate), Some(address))
    }

    async fn fault(link: &Link, limit: Duration) -> ProxyFault {
        let attempt = link.attempt("health", b"{}", limit).await;
        attempt.outcome.unwrap_err()
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn nobody_there_is_not_reachable() {
        // A bound socket that does not listen refuses connections, and no other test gets its port.
        let mute = TcpSocket::new_v4().unwrap();
        mute.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = mute.local_addr().unwrap();
        assert_eq!(fault(&link(address), LONG).await, ProxyFault::NotReachable);
    }

    #[tokio::test]
    async fn silence_ends_in_time_and_a_hang_up_is_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = link(listener.local_addr().unwrap());
        // Nobody accepts: the handshake waits.
        let limit = Duration::from_millis(50);
        assert_eq!(fault(&link, limit).await, ProxyFault::TimedOut);
        let hang_up = tokio::spawn(async move {
            loop {
                drop(listener.accept().await);
            }
        });
        assert_eq!(fault(&link, LONG).await, ProxyFault::NotReachable);
        hang_up.abort();
    }

    #[tokio::test]
    async fn what_is_no_tls_is_said_to_be() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = link(listener.local_addr().unwrap());
        let plain = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
            stream
        });
        assert_eq!(fault(&link, LONG).await, ProxyFault::Tls);
        plain.await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_link_makes_no_call() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = link(listener.local_addr().unwrap());
        link.close();
        let attempt = link.attempt("health", b"{}", LONG).await;
        assert!(attempt.outcome.is_err() && attempt.connect.is_none());
        assert!(link.is_closed());
    }
}
