//! Reads a request body within its length limit, its deadline and the byte budget of unverified requests.
//!
//! # Invariants
//! - Only a complete body is returned. hyper reports a normal end also when the HTTP/2 stream was reset with NO_ERROR or CANCEL.
//! - A body whose announced length exceeds the limit is rejected before a byte of it is read, and before `100 Continue` is sent. A body that is longer
//!   than announced is rejected when it exceeds the limit. No byte beyond the limit or beyond the budget is kept.

use std::error::Error;
use std::io::{self, ErrorKind};

use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout_at;

use crate::clock::Deadline;
use crate::secret::SecretBytes;
use crate::server::unverified::HeldBytes;
use crate::xks::{Fault, FaultKind};

/// The number of bytes beyond the limit that are read and discarded before the response. A client that is still sending would see a connection reset
/// instead of the response.
const DRAINED_BEYOND_LIMIT: usize = 256 * 1024;

/// The limits and the protocol by which a body is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadLimits {
    /// The longest body, in bytes.
    pub max_length: usize,
    /// The time until which the body must be complete.
    pub deadline: Deadline,
    /// True if the client waits for `100 Continue`: reading sends it.
    pub expects_continue: bool,
    /// True if the protocol is HTTP/2, which marks the end of a body with a flag.
    pub is_stream: bool,
}

/// Why a body was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The body is rejected with this error.
    Rejected(Fault),
    /// The client disconnected before it had sent the whole body, so it cannot receive a response.
    Disconnected(Fault),
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Rejected(fault)
    }
}

/// Reads the whole body into memory that is wiped after use.
///
/// # Errors
/// [`FaultKind::BodyTooLarge`] for a body over the limit, [`FaultKind::BodyIncomplete`] for one that is cut or too slow, and
/// [`FaultKind::UnverifiedOverload`] when the budget of `held` does not allow the body.
pub(super) async fn read<B>(
    mut body: B,
    limits: ReadLimits,
    held: &mut HeldBytes,
) -> Result<SecretBytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + 'static,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced <= limits.max_length {
        if !held.grow(announced) {
            return Err(overload().into());
        }
        let reading = collect(&mut body, (limits, announced), held);
        match timeout_at(limits.deadline.instant().into(), reading).await {
            Ok(Ok(Some(bytes))) => return Ok(bytes),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(incomplete("the body did not arrive in time").into()),
        }
    }
    let is_short_enough = announced <= limits.max_length.saturating_add(DRAINED_BEYOND_LIMIT);
    if is_short_enough && !limits.expects_continue {
        drain(&mut body, limits.deadline).await;
    }
    Err(Fault::from(FaultKind::BodyTooLarge).into())
}

/// Reads and discards the body of a request that is rejected independently of its body. Otherwise the server would close the HTTP/1.1 connection, or reset
/// the HTTP/2 stream, while the client is still sending. The client might then not see the response.
pub(super) async fn discard<B>(mut body: B, headers: &HeaderMap, until: Deadline)
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced <= DRAINED_BEYOND_LIMIT && !headers.contains_key(EXPECT) {
        drain(&mut body, until).await;
    }
}

/// Returns the body; `None` when it is longer than the limit.
async fn collect<B>(
    body: &mut B,
    (limits, announced): (ReadLimits, usize),
    held: &mut HeldBytes,
) -> Result<Option<SecretBytes>, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + 'static,
{
    let mut bytes = SecretBytes::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| cut(&error, limits))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > limits.max_length {
            return Ok(None);
        }
        let beyond = (bytes.len() + data.len()).saturating_sub(announced.max(bytes.len()));
        if beyond > 0 && !held.grow(beyond) {
            return Err(overload().into());
        }
        bytes.append(&data);
    }
    match limits.is_stream && !body.is_end_stream() {
        true => Err(ReadError::Disconnected(incomplete(
            "the client reset the stream before the end of the body",
        ))),
        false => Ok(Some(bytes)),
    }
}

/// Returns the error of a body that was cut. A client that reset its HTTP/2 stream cannot receive a response. An HTTP/1.1 client that sent a wrong chunk
/// length can.
fn cut(error: &(dyn Error + 'static), limits: ReadLimits) -> ReadError {
    let fault = incomplete(format!("the body was cut: {error}"));
    match limits.is_stream || is_end_of_connection(error) {
        true => ReadError::Disconnected(fault),
        false => ReadError::Rejected(fault),
    }
}

fn is_end_of_connection(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    let io = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
    let kinds = [
        ErrorKind::UnexpectedEof,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::BrokenPipe,
    ];
    io.is_some_and(|io| kinds.contains(&io.kind()))
}

/// Reads and discards the rest of a body, up to a bounded length. The response is the same wherever reading stops.
async fn drain<B: Body<Data = Bytes> + Unpin>(body: &mut B, until: Deadline) {
    let reading = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > DRAINED_BEYOND_LIMIT {
                return;
            }
        }
    };
    drop(timeout_at(until.instant().into(), reading).await);
}

/// Returns the error for a request that the byte budget of unverified requests does not allow.
pub(super) fn overload() -> Fault {
    let reason = "requests without a verified signature hold too many bytes";
    Fault::because(FaultKind::UnverifiedOverload, reason)
}

fn incomplete(reason: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::because(FaultKind::BodyIncomplete, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::server::unverified::{Budget, ClientClass, UnverifiedMetrics};
    use http_body_util::Full;
    use hyper::body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    fn limits(max_length: usize, time: Duration) -> ReadLimits {
        let deadline = Deadline::after(time);
        ReadLimits {
            max_length,
            deadline,
            expects_continue: false,
            is_stream: false,
        }
    }

    /// Returns the held bytes of a request without a head.
    fn held(max_body: usize) -> HeldBytes {
        let metrics = UnverifiedMetrics::declare(&Metrics::default()).unwrap();
        Budget::new(&metrics)
            .hold(ClientClass::Known, 0, max_body)
            .unwrap()
    }

    fn kind(error: &ReadError) -> FaultKind {
        let (ReadError::Rejected(fault) | ReadError::Disconnected(fault)) = error;
        fault.kind
    }

    async fn outcome(length: usize, max: usize) -> Result<usize, FaultKind> {
        let body = Full::new(Bytes::from(vec![7; length]));
        read(body, limits(max, Duration::from_secs(5)), &mut held(max))
            .await
            .map(|bytes| bytes.len())
            .map_err(|error| kind(&error))
    }

    #[tokio::test]
    async fn the_length_limit_is_exact() {
        assert_eq!(outcome(0, 10).await, Ok(0));
        assert_eq!(outcome(10, 10).await, Ok(10));
        assert_eq!(outcome(11, 10).await, Err(FaultKind::BodyTooLarge));
    }

    /// A body without an announced length: this number of parts of 1,000 bytes. Without a number it never ends.
    struct Unannounced(Option<usize>);

    impl Body for Unannounced {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match &mut self.0 {
                None => Poll::Pending,
                Some(0) => Poll::Ready(None),
                Some(left) => {
                    *left -= 1;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; 1_000])))))
                }
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_rejected_at_the_deadline() {
        let limits = limits(10, Duration::from_millis(5));
        let outcome = read(Unannounced(None), limits, &mut held(10)).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, ReadError::Rejected(_)), "{error:?}");
        assert_eq!(kind(&error), FaultKind::BodyIncomplete);
    }

    #[tokio::test]
    async fn a_stream_without_its_end_means_that_the_client_disconnected() {
        let limits = ReadLimits {
            is_stream: true,
            ..limits(10_000, Duration::from_secs(5))
        };
        let outcome = read(Unannounced(Some(3)), limits, &mut held(10_000)).await;
        let is_disconnected = matches!(outcome, Err(ReadError::Disconnected(_)));
        assert!(is_disconnected, "{outcome:?}");
        let whole = Full::new(Bytes::from(vec![7; 3_000]));
        assert!(read(whole, limits, &mut held(10_000)).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_counts_when_it_is_announced_or_when_it_arrives() {
        let limits = || limits(10_000, Duration::from_secs(5));
        let mut counted = held(10_000);
        let before = counted.bytes();
        let body = read(Unannounced(Some(3)), limits(), &mut counted).await;
        assert_eq!(body.unwrap().len(), 3_000);
        assert_eq!(counted.bytes(), before + 3_000, "when it arrives");
        let announced = Full::new(Bytes::from(vec![7; 2_000]));
        let body = read(announced, limits(), &mut counted).await;
        assert_eq!(body.unwrap().len(), 2_000);
        assert_eq!(counted.bytes(), before + 5_000, "when announced, once");
    }
}
