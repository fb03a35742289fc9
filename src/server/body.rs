//! Reads a request body under its cap and its deadline.
//!
//! # Invariants
//! - A body that announces more than the cap is refused before a byte of it is read (and before `100 Continue` is sent); one that turns
//!   out to be longer is refused when it crosses the cap. Nothing beyond the cap is kept.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{timeout, timeout_at};

use crate::clock::Deadline;
use crate::secret::SecretBytes;
use crate::xks::{Fault, FaultKind};

/// How much of a body beyond its cap is read and thrown away before the refusal, and for how long: a client that is still sending
/// would see a reset connection instead of the answer.
const DRAINED_BEYOND_CAP: usize = 256 * 1024;
const DRAINED_FOR: Duration = Duration::from_millis(200);

/// How a body is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The longest body, in bytes.
    pub cap: usize,
    /// Until when.
    pub deadline: Deadline,
    /// Whether the client waits for `100 Continue`: reading sends it.
    pub expects_continue: bool,
}

/// The whole body, in memory that is wiped.
///
/// # Errors
/// [`FaultKind::BodyTooLarge`] beyond the cap, [`FaultKind::BodyIncomplete`] when it breaks off or is too slow.
pub(super) async fn read<B>(mut body: B, terms: Terms) -> Result<SecretBytes, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced <= terms.cap {
        let reading = collect(&mut body, terms.cap, announced);
        match timeout_at(terms.deadline.instant().into(), reading).await {
            Ok(Ok(Some(bytes))) => return Ok(bytes),
            Ok(Ok(None)) => {}
            Ok(Err(fault)) => return Err(fault),
            Err(_) => return Err(incomplete("the body did not arrive in time")),
        }
    }
    let is_short_enough = announced <= terms.cap.saturating_add(DRAINED_BEYOND_CAP);
    if is_short_enough && !terms.expects_continue {
        drain(&mut body).await;
    }
    Err(FaultKind::BodyTooLarge.into())
}

/// Reads a body away that nobody wants, because the request is refused whatever it says. Without it the refusal might never be
/// seen: HTTP/1.1 would close the connection and HTTP/2 reset the stream, with the client still sending.
pub(super) async fn discard<B>(mut body: B, headers: &HeaderMap)
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced <= DRAINED_BEYOND_CAP && !headers.contains_key(EXPECT) {
        drain(&mut body).await;
    }
}

/// The body; none when it is longer than `cap`.
async fn collect<B>(
    body: &mut B,
    cap: usize,
    announced: usize,
) -> Result<Option<SecretBytes>, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut bytes = SecretBytes::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| incomplete(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > cap {
            return Ok(None);
        }
        bytes.append(&data);
    }
    Ok(Some(bytes))
}

/// Reads on, within its bounds. How far it gets does not matter: the refusal is the same.
async fn drain<B: Body<Data = Bytes> + Unpin>(body: &mut B) {
    let reading = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > DRAINED_BEYOND_CAP {
                return;
            }
        }
    };
    drop(timeout(DRAINED_FOR, reading).await);
}

fn incomplete(reason: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::because(FaultKind::BodyIncomplete, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    fn terms(cap: usize, patience: Duration) -> Terms {
        let deadline = Deadline::after(patience);
        Terms {
            cap,
            deadline,
            expects_continue: false,
        }
    }

    async fn outcome(length: usize, cap: usize) -> Result<usize, FaultKind> {
        let body = Full::new(Bytes::from(vec![7; length]));
        read(body, terms(cap, Duration::from_secs(5)))
            .await
            .map(|b| b.len())
            .map_err(|f| f.kind)
    }

    #[tokio::test]
    async fn the_cap_is_exact() {
        assert_eq!(outcome(0, 10).await, Ok(0));
        assert_eq!(outcome(10, 10).await, Ok(10));
        assert_eq!(outcome(11, 10).await, Err(FaultKind::BodyTooLarge));
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_given_up() {
        struct Never;
        impl Body for Never {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>>
            {
                std::task::Poll::Pending
            }
        }
        let fault = read(Never, terms(10, Duration::from_millis(5)))
            .await
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::BodyIncomplete);
    }
}
