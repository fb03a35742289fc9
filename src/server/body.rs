//! Reads a request body under its cap and its deadline.
//!
//! # Invariants
//! - A body that announces more than the cap is refused before a byte of it is read (and before `100 Continue` is sent); one that turns
//!   out to be longer is refused when it crosses the cap. Nothing beyond the cap is kept.

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Body;

use crate::clock::Deadline;
use crate::secret::SecretBytes;
use crate::xks::{Fault, FaultKind};

/// How much of a body beyond its cap is read and thrown away before the refusal: a client that is still sending would otherwise
/// see a reset connection instead of the answer.
const DRAINED_BEYOND_CAP: usize = 256 * 1024;

/// The whole body, in memory that is wiped.
///
/// # Errors
/// [`FaultKind::BodyTooLarge`] beyond `cap` bytes, [`FaultKind::BodyIncomplete`] when it breaks off or is too slow.
pub(super) async fn read<B>(body: B, cap: usize, deadline: Deadline) -> Result<SecretBytes, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > cap {
        return Err(FaultKind::BodyTooLarge.into());
    }
    let reading = collect(body, cap, announced);
    match tokio::time::timeout_at(deadline.instant().into(), reading).await {
        Ok(outcome) => outcome,
        Err(_) => Err(incomplete("the body did not arrive in time")),
    }
}

async fn collect<B>(mut body: B, cap: usize, announced: usize) -> Result<SecretBytes, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut bytes = SecretBytes::with_capacity(announced);
    let mut beyond = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| incomplete(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if beyond == 0 && bytes.len() + data.remaining() <= cap {
            bytes.append(&data);
            continue;
        }
        beyond += data.remaining();
        if beyond > DRAINED_BEYOND_CAP {
            break;
        }
    }
    match beyond {
        0 => Ok(bytes),
        _ => Err(FaultKind::BodyTooLarge.into()),
    }
}

fn incomplete(reason: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::because(FaultKind::BodyIncomplete, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use std::time::Duration;

    async fn outcome(length: usize, cap: usize) -> Result<usize, FaultKind> {
        let body = Full::new(Bytes::from(vec![7; length]));
        let deadline = Deadline::after(Duration::from_secs(5));
        read(body, cap, deadline)
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
        let fault = read(Never, 10, Deadline::after(Duration::from_millis(5)))
            .await
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::BodyIncomplete);
    }
}
