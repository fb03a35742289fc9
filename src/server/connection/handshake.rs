//! The TLS handshake of one connection: bounded in time, with an alert that arrives.

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
use crate::server::tls::client_auth::verifier::{ClientHandshake, refusal_text};
use crate::server::tls::settings::Session;

/// How long, and for how many bytes, a client whose handshake was refused is listened to. In TLS 1.3 it may send a whole request before it reads the
/// alert: a socket that is closed with unread bytes is reset, and the reset would overtake the alert.
const GOODBYE: Duration = Duration::from_secs(2);
const GOODBYE_BYTES: u64 = 64 * 1024;

/// Makes handshakes, under the configuration of the moment; cheap to clone.
#[derive(Clone)]
pub(in crate::server) struct Handshakes {
    live: Live,
    metrics: ServerMetrics,
    log: Arc<Log>,
}

/// What the log says of handshakes that end otherwise than well.
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

    /// Makes the handshake with the client at the other end of `stream`. Returns what it has shown of its client, too.
    ///
    /// # Errors
    /// Why the connection ends. It is closed then.
    pub(in crate::server) async fn accept(
        &self,
        stream: ClientStream,
        slot: &Slot,
        peer: SocketAddr,
    ) -> Result<(TlsStream<ClientStream>, ClientCertificate), End> {
        let (Session { config, client }, patience) = self.terms();
        let client = client.as_deref();
        let accepting = TlsAcceptor::from(config).accept(stream).into_fallible();
        match timeout(patience, accepting).await {
            Ok(Ok(stream)) => {
                let version = stream.get_ref().1.protocol_version();
                self.metrics.count_handshake("ok", version);
                Ok((stream, self.note_client(client, peer)))
            }
            Ok(Err((error, stream))) => {
                self.metrics.count_handshake("failed", None);
                let refusal = self.note_refusal(client, &error);
                if self.log.note_failure(peer, &error, refusal) {
                    slot.linger();
                    let goodbye = say_goodbye(stream);
                    drop(timeout(GOODBYE, goodbye).await);
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

    /// Certificate and patience as they are now: a new certificate is for new connections.
    fn terms(&self) -> (Session, Duration) {
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

    /// Counts a client whose certificate has ended the handshake. Returns the text for the log, where rustls has none that helps.
    fn note_refusal(&self, client: Option<&ClientHandshake>, error: &io::Error) -> Option<String> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        let (finding, leaf) = client?.refusal(error)?;
        self.metrics.clients.count(&finding, leaf);
        let is_absent = finding.result == ClientCertificate::Absent;
        is_absent.then(|| refusal_text("the client sent none"))
    }

    /// Logs what was counted since the last call; to be called once per period, and at the end.
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
    /// Whether the client was sent an alert. One that only opens and closes connections is a load balancer's health check as a rule: not worth a line.
    fn note_failure(&self, peer: SocketAddr, error: &io::Error, refusal: Option<String>) -> bool {
        let was_alerted = error.kind() == io::ErrorKind::InvalidData;
        if !was_alerted {
            tracing::debug!(%peer, %error, "the client left during the TLS handshake");
            return false;
        }
        let text = refusal.unwrap_or_else(|| error.to_string());
        if let Some((peer, error)) = self.failed.add((peer, text)) {
            log_failures(1, peer, &error);
        }
        true
    }

    /// Logs a certificate that is not verified. A client without one is in the line of each of its requests.
    fn note_client(&self, peer: SocketAddr, finding: Finding) {
        let is_worth_a_line = !matches!(
            finding.result,
            ClientCertificate::Verified | ClientCertificate::Absent
        );
        if !is_worth_a_line {
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

/// The alert has been written: says that nothing follows it, and waits until the client has read it and closes.
async fn say_goodbye(mut stream: ClientStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut stream = stream.take(GOODBYE_BYTES);
    let mut unread = [0; 1_024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
