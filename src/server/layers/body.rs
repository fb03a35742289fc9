//! Reads a request body under its cap, its deadline and the budget of bytes that unverified requests may hold.
//!
//! # Invariants
//! - Only a body that has come to its end is returned. hyper also ends one whose HTTP/2 stream was reset with NO_ERROR or CANCEL as if it was whole.
//! - A body that announces more than the cap is refused before a byte of it is read (and before `100 Continue` is sent); one that turns
//!   out to be longer is refused when it crosses the cap. Nothing beyond the cap is kept, and no byte that the budget has no room for.

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

/// How much of a body beyond its cap is read and thrown away before the refusal: a client that is still sending would see a reset
/// connection instead of the answer.
const DRAINED_BEYOND_CAP: usize = 256 * 1024;

/// How a body is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadLimits {
    /// The longest body, in bytes.
    pub cap: usize,
    /// Until when.
    pub deadline: Deadline,
    /// Whether the client waits for `100 Continue`: reading sends it.
    pub expects_continue: bool,
    /// Whether the body is a stream of HTTP/2, whose end is one of its own frames.
    pub is_stream: bool,
}

/// Why a body was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It cannot be accepted.
    Fault(Fault),
    /// The client has gone before it had sent all of it: nobody is there for an answer.
    Left(Fault),
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The whole body, in memory that is wiped.
///
/// # Errors
/// [`FaultKind::BodyTooLarge`] beyond the cap, [`FaultKind::BodyIncomplete`] when it breaks off or is too slow,
/// [`FaultKind::UnverifiedOverload`] when `held` cannot grow by it.
pub(super) async fn read<B>(
    mut body: B,
    terms: ReadLimits,
    held: &mut HeldBytes,
) -> Result<SecretBytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + 'static,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced <= terms.cap {
        if !held.grow(announced) {
            return Err(no_room().into());
        }
        let reading = collect(&mut body, (terms, announced), held);
        match timeout_at(terms.deadline.instant().into(), reading).await {
            Ok(Ok(Some(bytes))) => return Ok(bytes),
            Ok(Ok(None)) => {}
            Ok(Err(unread)) => return Err(unread),
            Err(_) => return Err(incomplete("the body did not arrive in time").into()),
        }
    }
    let is_short_enough = announced <= terms.cap.saturating_add(DRAINED_BEYOND_CAP);
    if is_short_enough && !terms.expects_continue {
        drain(&mut body, terms.deadline).await;
    }
    Err(Fault::from(FaultKind::BodyTooLarge).into())
}

/// Reads a body away that nobody wants, because the request is refused whatever it says. Without it the refusal might never be
/// seen: HTTP/1.1 would close the connection and HTTP/2 reset the stream, with the client still sending.
pub(super) async fn discard<B>(mut body: B, headers: &HeaderMap, until: Deadline)
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced <= DRAINED_BEYOND_CAP && !headers.contains_key(EXPECT) {
        drain(&mut body, until).await;
    }
}

/// The body; none when it is longer than its cap.
async fn collect<B>(
    body: &mut B,
    (terms, announced): (ReadLimits, usize),
    held: &mut HeldBytes,
) -> Result<Option<SecretBytes>, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + 'static,
{
    let mut bytes = SecretBytes::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken_off(&error, terms))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > terms.cap {
            return Ok(None);
        }
        let beyond = (bytes.len() + data.len()).saturating_sub(announced.max(bytes.len()));
        if beyond > 0 && !held.grow(beyond) {
            return Err(no_room().into());
        }
        bytes.append(&data);
    }
    match terms.is_stream && !body.is_end_stream() {
        true => Err(ReadError::Disconnected(incomplete(
            "the client reset the stream before the end of the body",
        ))),
        false => Ok(Some(bytes)),
    }
}

/// A stream that has broken off takes no answer. Over HTTP/1.1 a client that has sent a wrong length of a chunk can still read one.
fn broken_off(error: &(dyn Error + 'static), terms: ReadLimits) -> ReadError {
    let fault = incomplete(format!("the body broke off: {error}"));
    match terms.is_stream || is_end_of_connection(error) {
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

/// Reads on, within its bounds. How far it gets does not matter: the refusal is the same.
async fn drain<B: Body<Data = Bytes> + Unpin>(body: &mut B, until: Deadline) {
    let reading = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > DRAINED_BEYOND_CAP {
                return;
            }
        }
    };
    drop(timeout_at(until.instant().into(), reading).await);
}

/// Requests whose signature is not verified hold all they may.
pub(super) fn no_room() -> Fault {
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

    fn terms(cap: usize, patience: Duration) -> ReadLimits {
        let deadline = Deadline::after(patience);
        ReadLimits {
            cap,
            deadline,
            expects_continue: false,
            is_stream: false,
        }
    }

    /// Room for a request, of this owner.
    fn held(max_body: usize) -> HeldBytes {
        let metrics = UnverifiedMetrics::declare(&Metrics::default()).unwrap();
        Budget::new(&metrics)
            .hold(ClientClass::Known, 0, max_body)
            .unwrap()
    }

    fn kind(unread: &ReadError) -> FaultKind {
        let (ReadError::Rejected(fault) | ReadError::Disconnected(fault)) = unread;
        fault.kind
    }

    async fn outcome(length: usize, cap: usize) -> Result<usize, FaultKind> {
        let body = Full::new(Bytes::from(vec![7; length]));
        read(body, terms(cap, Duration::from_secs(5)), &mut held(cap))
            .await
            .map(|b| b.len())
            .map_err(|unread| kind(&unread))
    }

    #[tokio::test]
    async fn the_cap_is_exact() {
        assert_eq!(outcome(0, 10).await, Ok(0));
        assert_eq!(outcome(10, 10).await, Ok(10));
        assert_eq!(outcome(11, 10).await, Err(FaultKind::BodyTooLarge));
    }

    /// So many parts of a thousand bytes whose number nobody announces; without a number it stalls.
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
    async fn a_body_that_stalls_is_given_up() {
        let unread = read(
            Unannounced(None),
            terms(10, Duration::from_millis(5)),
            &mut held(10),
        )
        .await
        .unwrap_err();
        assert!(matches!(unread, ReadError::Rejected(_)), "{unread:?}");
        assert_eq!(kind(&unread), FaultKind::BodyIncomplete);
    }

    #[tokio::test]
    async fn a_stream_without_its_end_is_one_whose_client_left() {
        let terms = ReadLimits {
            is_stream: true,
            ..terms(10_000, Duration::from_secs(5))
        };
        let unread = read(Unannounced(Some(3)), terms, &mut held(10_000)).await;
        assert!(
            matches!(unread, Err(ReadError::Disconnected(_))),
            "{unread:?}"
        );
        let whole = Full::new(Bytes::from(vec![7; 3_000]));
        assert!(read(whole, terms, &mut held(10_000)).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_counts_as_announced_or_as_it_comes() {
        let terms = || terms(10_000, Duration::from_secs(5));
        let mut counted = held(10_000);
        let before = counted.bytes();
        let body = read(Unannounced(Some(3)), terms(), &mut counted).await;
        assert_eq!(body.unwrap().len(), 3_000);
        assert_eq!(counted.bytes(), before + 3_000, "as it came");
        let announced = Full::new(Bytes::from(vec![7; 2_000]));
        let body = read(announced, terms(), &mut counted).await;
        assert_eq!(body.unwrap().len(), 2_000);
        assert_eq!(counted.bytes(), before + 5_000, "as announced, once");
    }
}
