//! The link to the proxy of one store: a pool of connections, and attempts to call the proxy.
//!
//! # Invariants
//! - A closed link makes no new call.
//! - An attempt always ends within its time limit. After a time-out its connection is closed.

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
use crate::simulator::proxy::errors::ProxyError;
use crate::sync::poisoned;

/// The service of the credential scope (XKS API, section 7).
const SERVICE: &str = "kms-xks-proxy";

/// The only port that KMS connects to.
const HTTPS_PORT: u16 = 443;

/// The maximum number of idle connections.
const MAX_IDLE: usize = 64;

/// The address of a proxy and the credential for it.
pub(in crate::simulator) struct LinkSettings {
    /// The DNS name of the proxy.
    pub(in crate::simulator) host: String,
    /// The `XksProxyUriPath`.
    pub(in crate::simulator) path: String,
    /// The Region of the store.
    pub(in crate::simulator) region: String,
    pub(in crate::simulator) access_key_id: String,
    pub(in crate::simulator) secret: Secret,
}

/// The link to a proxy.
pub(in crate::simulator) struct ProxyLink {
    link_settings: LinkSettings,
    tls: Arc<dyn TlsSource>,
    /// An address that replaces the result of DNS.
    address_override: Option<SocketAddr>,
    caller: Mutex<Option<(ClientCertificateKind, Arc<Caller>)>>,
    /// Idle connections, each with the kind of client certificate that it presented.
    idle: Mutex<Vec<(ClientCertificateKind, Connection)>>,
    closed: AtomicBool,
}

/// Provides TLS with the current client certificate.
pub(in crate::simulator) trait TlsSource: Send + Sync {
    /// Returns TLS for connections from this Region and the kind of its client certificate; none if TLS cannot be set up.
    fn tls(&self, region: &str) -> Option<(ClientCertificateKind, TlsClient)>;
}

/// The result and the durations of one attempt.
#[derive(Debug)]
pub(in crate::simulator) struct CallAttempt {
    /// The status and the body of the response.
    pub(in crate::simulator) outcome: Result<(u16, SecretBytes), ProxyError>,
    /// The time to connect, if a new connection was made.
    pub(in crate::simulator) connect: Option<Duration>,
    /// The duration of the whole attempt.
    pub(in crate::simulator) took: Duration,
    /// The certificate of the proxy, if a new connection was made.
    pub(in crate::simulator) certificate: Option<ProxyCertificate>,
}

/// The certificate of a proxy.
#[derive(Debug)]
pub(in crate::simulator) struct ProxyCertificate {
    /// The expiry, in seconds since 1970.
    pub(in crate::simulator) expires: i64,
    /// The common name of the subject; empty if the subject has none.
    pub(in crate::simulator) name: String,
}

/// The properties of a new connection; empty if an idle one was used.
#[derive(Default)]
struct NewConnection {
    took: Option<Duration>,
    certificate: Option<ProxyCertificate>,
}

impl ProxyLink {
    pub(in crate::simulator) fn new(
        link_settings: LinkSettings,
        tls: Arc<dyn TlsSource>,
        address_override: Option<SocketAddr>,
    ) -> Self {
        Self {
            link_settings,
            tls,
            address_override,
            caller: Mutex::default(),
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Closes the link and its idle connections. No new call begins.
    pub(in crate::simulator) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        locked(&self.idle).clear();
    }

    /// Returns whether the link is closed.
    pub(in crate::simulator) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Posts `body` to the path `operation` below the `XksProxyUriPath`, and waits for at most `limit`.
    pub(in crate::simulator) async fn attempt(
        &self,
        operation: &str,
        body: &[u8],
        limit: Duration,
    ) -> CallAttempt {
        let (start, mut new_connection) = (Instant::now(), NewConnection::default());
        let answer = timeout(limit, self.exchange(operation, body, &mut new_connection)).await;
        let outcome = match answer {
            Err(_) => Err(ProxyError::TimedOut),
            Ok(Err(error)) => Err(error),
            Ok(Ok(answer)) => Ok((answer.status, answer.body)),
        };
        if outcome.is_err() {
            // The address of the host name may have changed.
            locked(&self.caller).take();
        }
        CallAttempt {
            outcome,
            connect: new_connection.took,
            took: start.elapsed(),
            certificate: new_connection.certificate,
        }
    }

    async fn exchange(
        &self,
        operation: &str,
        body: &[u8],
        new_connection: &mut NewConnection,
    ) -> Result<Answer, ProxyError> {
        let (kind, caller) = self.caller().await?;
        self.check_open()?;
        if let Some(mut idle_connection) = self.idle_connection(kind) {
            match idle_connection
                .call(&caller, operation, body.to_vec())
                .await
            {
                // A proxy may close an idle connection at any time. Use a new one.
                Err(CallError::Http(error)) if !error.is_parse() => {}
                answer => return self.finish((kind, idle_connection), answer),
            }
        }
        self.check_open()?;
        let start = Instant::now();
        let connection = caller.connect().await;
        new_connection.took = Some(start.elapsed());
        let mut connection = connection.map_err(|error| proxy_error(&error))?;
        new_connection.certificate = certificate(&connection);
        self.check_open()?;
        let answer = connection.call(&caller, operation, body.to_vec()).await;
        self.finish((kind, connection), answer)
    }

    /// Returns an error if the link is closed. Must be called after each `await` and before a request, because the store may have been
    /// disconnected in the meantime.
    fn check_open(&self) -> Result<(), ProxyError> {
        match self.is_closed() {
            true => Err(ProxyError::NotReachable),
            false => Ok(()),
        }
    }

    fn finish(
        &self,
        (kind, connection): (ClientCertificateKind, Connection),
        answer: Result<Answer, CallError>,
    ) -> Result<Answer, ProxyError> {
        let answer = answer.map_err(|error| proxy_error(&error))?;
        let mut idle = locked(&self.idle);
        if idle.len() < MAX_IDLE && connection.is_open() && !self.is_closed() {
            idle.push((kind, connection));
        }
        Ok(answer)
    }

    /// Returns an open idle connection with this kind of client certificate, if there is one.
    fn idle_connection(&self, wanted: ClientCertificateKind) -> Option<Connection> {
        let mut idle = locked(&self.idle);
        while let Some((kind, connection)) = idle.pop() {
            if kind == wanted && connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    async fn caller(&self) -> Result<(ClientCertificateKind, Arc<Caller>), ProxyError> {
        let tls = self.tls.tls(&self.link_settings.region);
        let (kind, tls) = tls.ok_or(ProxyError::NotReachable)?;
        let known = locked(&self.caller).clone();
        if let Some(known) = known.filter(|(known, _)| *known == kind) {
            return Ok(known);
        }
        let made = Arc::new(self.new_caller(self.address().await?, tls)?);
        *locked(&self.caller) = Some((kind, Arc::clone(&made)));
        Ok((kind, made))
    }

    fn new_caller(&self, address: SocketAddr, tls: TlsClient) -> Result<Caller, ProxyError> {
        let link_settings = &self.link_settings;
        let credential =
            Credential::new(&link_settings.access_key_id, link_settings.secret.clone());
        // The credential was checked when the store was created or updated.
        let credential = credential.map_err(|_| ProxyError::NotReachable)?;
        Ok(Caller {
            address,
            host: link_settings.host.clone(),
            named_port: HTTPS_PORT,
            path: link_settings.path.clone(),
            signer: Signer::new(credential, &link_settings.region, SERVICE),
            tls,
        })
    }

    /// Returns the address of the proxy. KMS uses IPv4 only.
    async fn address(&self) -> Result<SocketAddr, ProxyError> {
        if let Some(address_override) = self.address_override {
            return Ok(address_override);
        }
        let unknown = |_| ProxyError::NotReachable;
        let found = lookup_host((self.link_settings.host.as_str(), HTTPS_PORT)).await;
        let mut found = found.map_err(unknown)?;
        found
            .find(SocketAddr::is_ipv4)
            .ok_or(ProxyError::NotReachable)
    }
}

fn proxy_error(error: &CallError) -> ProxyError {
    match error {
        error if error.is_about_tls() => ProxyError::Tls,
        CallError::Http(error) if error.is_parse() => ProxyError::InvalidResponse,
        CallError::Body => ProxyError::InvalidResponse,
        CallError::Connect(_)
        | CallError::Tls(_)
        | CallError::HostName(_)
        | CallError::Http(_)
        | CallError::Request => ProxyError::NotReachable,
    }
}

fn certificate(connection: &Connection) -> Option<ProxyCertificate> {
    let certificate = connection.handshake().chain.first()?;
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next();
    let name = name.and_then(|name| name.as_str().ok());
    Some(ProxyCertificate {
        expires: parsed.validity().not_after.timestamp(),
        name: name.unwrap_or_default().to_owned(),
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(poisoned)
}

#[cfg(test)]
mod tests;
