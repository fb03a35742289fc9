//! The TLS handshake of one connection: bounded in time, and with an alert that reaches a rejected client.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connections::{ClientCertificate, ClientStream, End, Slot, Tally};
use crate::server::live::Live;
use crate::server::metrics::ServerMetrics;
use crate::server::tls::client_auth::classification::Finding;
use crate::server::tls::client_auth::verifier::{ClientHandshake, rejection_text};
use crate::server::tls::settings::Session;

/// The time in which bytes of a client are still read after its handshake failed. In TLS 1.3 it may send a whole request before it reads the alert.
/// The kernel resets a socket that is closed with unread bytes, and the client would see the reset instead of the alert.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// The number of bytes that are still read after a failed handshake.
const LINGER_BYTES: u64 = 64 * 1024;

/// Performs handshakes with the active configuration; cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct Handshakes {
    live: Live,
    metrics: ServerMetrics,
    log: Arc<Log>,
}

/// The log of handshakes that failed, timed out, or did not verify the client.
#[derive(Default)]
struct Log {
    failed: Tally<(SocketAddr, String)>,
    timed_out: Tally<SocketAddr>,
    not_verified: Tally<(SocketAddr, Finding)>,
}

impl Handshakes {
    pub(in crate::server) fn new(live: Live, metrics: ServerMetrics) -> Self {
        let log = Arc::default();
        Self { live, metrics, log }
    }

    /// Performs the handshake with the client at the other end of `stream`. Also returns the result of client authentication.
    ///
    /// # Errors
    /// Returns why the handshake failed, after closing the connection.
    pub(in crate::server) async fn accept(
        &self,
        stream: ClientStream,
        slot: &Slot,
        peer: SocketAddr,
    ) -> Result<(TlsStream<ClientStream>, ClientCertificate), End> {
        let (Session { config, client }, limit) = self.session();
        let client = client.as_deref();
        let accepting = TlsAcceptor::from(config).accept(stream).into_fallible();
        match timeout(limit, accepting).await {
            Ok(Ok(stream)) => {
                let version = stream.get_ref().1.protocol_version();
                self.metrics.count_handshake("ok", version);
                Ok((stream, self.note_client(client, peer)))
            }
            Ok(Err((error, stream))) => {
                self.metrics.count_handshake("failed", None);
                let rejection = self.note_rejection(client, &error);
                if self.log.note_failure(peer, &error, rejection) {
                    slot.linger();
                    drop(timeout(LINGER_TIME, close_after_alert(stream)).await);
                }
                Err(End::HandshakeFailed)
            }
            Err(_) => {
                self.metrics.count_handshake("timeout", None);
                self.log.note_timeout(peer);
                Err(End::HandshakeTimeout)
            }
        }
    }

    /// Returns the active TLS configuration and the time limit. A reload affects new connections only.
    fn session(&self) -> (Session, Duration) {
        let serving = self.live.now();
        (serving.tls.session(), serving.limits.header_timeout)
    }

    /// Counts the client of a handshake that has completed, and logs why it is not verified.
    fn note_client(&self, client: Option<&ClientHandshake>, peer: SocketAddr) -> ClientCertificate {
        let Some(client) = client else {
            return ClientCertificate::Off;
        };
        let (finding, leaf) = client.finding();
        self.metrics.clients.count(&finding, leaf);
        let result = finding.result;
        self.log.note_client(peer, finding);
        result
    }

    /// Counts a client whose certificate made the handshake fail. Returns the text for the log if the text of rustls is not helpful.
    fn note_rejection(
        &self,
        client: Option<&ClientHandshake>,
        error: &io::Error,
    ) -> Option<String> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        let (finding, leaf) = client?.rejection(error)?;
        self.metrics.clients.count(&finding, leaf);
        let is_absent = finding.result == ClientCertificate::Absent;
        is_absent.then(|| rejection_text("the client sent none"))
    }

    /// Logs the events counted since the last call. The caller calls it once per period, and at the end.
    pub(in crate::server) fn report(&self) {
        if let Some((count, (peer, error))) = self.log.failed.end_period() {
            log_failures(count, peer, &error);
        }
        if let Some((count, peer)) = self.log.timed_out.end_period() {
            log_timeouts(count, peer);
        }
        if let Some((count, (peer, finding))) = self.log.not_verified.end_period() {
            log_client(count, peer, &finding);
        }
    }
}

impl Log {
    /// Returns whether an alert was sent to the client. A client that only connects and disconnects is usually a load balancer's health check, so it causes
    /// no warning.
    fn note_failure(&self, peer: SocketAddr, error: &io::Error, rejection: Option<String>) -> bool {
        let was_alerted = error.kind() == io::ErrorKind::InvalidData;
        if !was_alerted {
            tracing::debug!(%peer, %error, "the client left during the TLS handshake");
            return false;
        }
        let text = rejection.unwrap_or_else(|| error.to_string());
        if let Some((peer, error)) = self.failed.add((peer, text)) {
            log_failures(1, peer, &error);
        }
        true
    }

    /// Logs a certificate that is not verified. A missing certificate is only in the access log line of each request.
    fn note_client(&self, peer: SocketAddr, finding: Finding) {
        if matches!(
            finding.result,
            ClientCertificate::Verified | ClientCertificate::Absent
        ) {
            return;
        }
        if let Some((peer, finding)) = self.not_verified.add((peer, finding)) {
            log_client(1, peer, &finding);
        }
    }

    fn note_timeout(&self, peer: SocketAddr) {
        if let Some(peer) = self.timed_out.add(peer) {
            log_timeouts(1, peer);
        }
    }
}

fn log_failures(count: u64, peer: SocketAddr, error: &str) {
    tracing::warn!(count, %peer, error, "TLS handshake failed");
}

fn log_client(count: u64, peer: SocketAddr, finding: &Finding) {
    let (result, reason) = (finding.result.as_str(), finding.reason.as_str());
    let why = &*finding.text;
    tracing::warn!(
        count,
        %peer,
        client_certificate = result,
        reason,
        why,
        "client certificate not verified; the connection is served"
    );
}

fn log_timeouts(count: u64, peer: SocketAddr) {
    tracing::warn!(count, %peer, "TLS handshake timed out");
}

/// Closes the sending side after the alert, and reads until the client closes the connection.
async fn close_after_alert(mut stream: ClientStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut stream = stream.take(LINGER_BYTES);
    let mut unread = [0; 1_024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
