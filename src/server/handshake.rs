//! The TLS handshake of one connection: bounded in time, with an alert that arrives.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::live::Live;
use super::metrics::ServerMetrics;
use crate::connections::{ClientStream, End, Slot, Tally};

/// How long, and for how many bytes, a client whose handshake was refused is listened to. In TLS 1.3 it may send a whole request before it reads the
/// alert: a socket that is closed with unread bytes is reset, and the reset would overtake the alert.
const GOODBYE: Duration = Duration::from_secs(2);
const GOODBYE_BYTES: u64 = 64 * 1024;

/// Makes handshakes, under the configuration of the moment; cheap to clone.
#[derive(Clone)]
pub(super) struct Handshakes {
    live: Live,
    metrics: ServerMetrics,
    log: Arc<Log>,
}

/// What the log says of handshakes that end otherwise than well.
#[derive(Default)]
struct Log {
    failed: Tally<(SocketAddr, String)>,
    timed_out: Tally<SocketAddr>,
}

impl Handshakes {
    pub(super) fn new(live: Live, metrics: ServerMetrics) -> Self {
        let log = Arc::default();
        Self { live, metrics, log }
    }

    /// Makes the handshake with the client at the other end of `stream`.
    ///
    /// # Errors
    /// Why the connection ends. It is closed then.
    pub(super) async fn accept(
        &self,
        stream: ClientStream,
        slot: &Slot,
        peer: SocketAddr,
    ) -> Result<TlsStream<ClientStream>, End> {
        let (acceptor, patience) = self.terms();
        let accepting = acceptor.accept(stream).into_fallible();
        match timeout(patience, accepting).await {
            Ok(Ok(stream)) => {
                let version = stream.get_ref().1.protocol_version();
                self.metrics.count_handshake("ok", version);
                Ok(stream)
            }
            Ok(Err((error, stream))) => {
                self.metrics.count_handshake("failed", None);
                if self.log.note_failure(peer, &error) {
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
    fn terms(&self) -> (TlsAcceptor, Duration) {
        let serving = self.live.now();
        let acceptor = TlsAcceptor::from(Arc::clone(&serving.tls.config));
        (acceptor, serving.limits.header_timeout)
    }

    /// Logs what was counted since the last call; to be called once per period, and at the end.
    pub(super) fn report(&self) {
        if let Some((count, (peer, error))) = self.log.failed.end_period() {
            log_failures(count, peer, &error);
        }
        if let Some((count, peer)) = self.log.timed_out.end_period() {
            log_timeouts(count, peer);
        }
    }
}

impl Log {
    /// Whether the client was sent an alert. One that only opens and closes connections is a load balancer's health check as a rule: not worth a line.
    fn note_failure(&self, peer: SocketAddr, error: &io::Error) -> bool {
        let was_alerted = error.kind() == io::ErrorKind::InvalidData;
        if !was_alerted {
            tracing::debug!(%peer, %error, "the client left during the TLS handshake");
        } else if let Some((peer, error)) = self.failed.add((peer, error.to_string())) {
            log_failures(1, peer, &error);
        }
        was_alerted
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
