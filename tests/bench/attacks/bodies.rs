//! HTTP/2 requests without a signature and without their bodies, up to the byte rate and the limits of the proxy.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_rustls::client::TlsStream;

use crate::connection::Outcome;

/// The requests at a time on one connection. The proxy allows 256.
const AT_A_TIME: usize = 200;

/// The size of a request's head with the fields of a signed one, about the size of KMS's.
const HEAD_BYTES: u64 = 600;

/// The bytes that may be sent.
pub struct Budget {
    bytes_per_second: f64,
    bytes: AtomicU64,
}

impl Budget {
    /// Creates a budget of this many megabits per second.
    pub fn new(mbit: u32) -> Self {
        Self {
            bytes_per_second: f64::from(mbit) * 1e6 / 8.0,
            bytes: AtomicU64::new(0),
        }
    }

    /// Adds the bytes of `time`. The budget keeps at most those of 0.1 s.
    pub fn refill(&self, time: Duration) {
        let more = (self.bytes_per_second * time.as_secs_f64()) as u64;
        let most = (self.bytes_per_second / 10.0) as u64;
        let add = |bytes: u64| Some((bytes + more).min(most));
        let _ = self.bytes.fetch_update(Relaxed, Relaxed, add);
    }

    async fn take(&self, bytes: u64) {
        let take = |left: u64| left.checked_sub(bytes);
        while self.bytes.fetch_update(Relaxed, Relaxed, take).is_err() {
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// A body that never arrives.
struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// Sends heads until the connection ends.
pub async fn send_heads(
    stream: TlsStream<TcpStream>,
    budget: &Budget,
    count: &AtomicU64,
) -> Outcome<()> {
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let slots = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await?;
        budget.take(HEAD_BYTES).await;
        sender.ready().await?;
        count.fetch_add(1, Relaxed);
        let answering = sender.send_request(head()?);
        tokio::spawn(async move {
            drop(answering.await);
            drop(slot);
        });
    }
}

fn head() -> Outcome<hyper::Request<Never>> {
    let filler = "a".repeat(460);
    Ok(
        hyper::Request::post("https://localhost/bench/kms/xks/v1/keys/orders/encrypt")
            .header("content-type", "application/json")
            .header("x-amz-date", "20260101T000000Z")
            .header("x-filler", filler)
            .body(Never)?,
    )
}
