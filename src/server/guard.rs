//! A connection's guard: knows what the connection is doing, and keeps hyper's own error pages from leaving.
//!
//! hyper has one timeout for a request's headers and for the pause between requests; KMS keeps its connections idle for long and
//! a slow loris must not. So hyper's is off, and [`Activity`] tells a begun request from an idle connection.
//!
//! To bytes that are not HTTP hyper answers by itself, with an empty 400. Every response of ours has a JSON body (XKS API,
//! "Errors"), so the guard puts ours in the place of hyper's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::xks::FaultKind;

/// What a connection is doing. Times are in milliseconds since it began.
pub(super) struct Activity {
    began: Instant,
    requests: AtomicUsize,
    /// Since when there has been no request.
    idle_since: AtomicU64,
    /// When the first bytes of a request came that is not complete yet, plus one; 0 when there is none.
    head_since: AtomicU64,
}

/// Whether a connection may live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Yes.
    Fine,
    /// It has been idle for too long.
    Idle,
    /// A request's headers have been coming for too long.
    HeadTooSlow,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            // The first request has begun, as it were: whoever connects has something to say.
            head_since: AtomicU64::new(1),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn bytes_came(&self) {
        if !self.has_requests() && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    fn has_requests(&self) -> bool {
        self.requests.load(Ordering::Acquire) > 0
    }

    /// A request's headers are complete; it lasts until the guard is dropped.
    pub(super) fn request_begins(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.head_since.store(0, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Judges the connection now.
    pub(super) fn judge(&self, header_timeout: Duration, idle_timeout: Duration) -> Judgement {
        if self.has_requests() {
            return Judgement::Fine;
        }
        let since = |then: u64| Duration::from_millis(self.now().saturating_sub(then));
        let head = self.head_since.load(Ordering::Relaxed);
        if head != 0 && since(head) >= header_timeout {
            return Judgement::HeadTooSlow;
        }
        match since(self.idle_since.load(Ordering::Relaxed)) >= idle_timeout {
            true => Judgement::Idle,
            false => Judgement::Fine,
        }
    }
}

/// A request that is worked on.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The stream under hyper.
pub(super) struct Guarded<T> {
    inner: T,
    activity: Arc<Activity>,
    /// HTTP/2 frames come between requests too: only HTTP/1 has a head to be slow with, and error pages to replace.
    is_http1: bool,
    /// Our answer in place of hyper's, and how much of it is written.
    replacement: Option<(Vec<u8>, usize)>,
}

impl<T> Guarded<T> {
    pub(super) fn new(inner: T, activity: Arc<Activity>, is_http1: bool) -> Self {
        Self {
            inner,
            activity,
            is_http1,
            replacement: None,
        }
    }

    /// hyper's own answer to bytes that never became a request: a client error without body, and without the content type
    /// that every answer of ours has.
    fn is_hypers_own(&self, written: &[u8]) -> bool {
        let has_content_type = || written.windows(13).any(|part| part == b"content-type:");
        self.is_http1
            && written.starts_with(b"HTTP/1.1 4")
            && written.ends_with(b"\r\n\r\n")
            && !has_content_type()
    }
}

fn not_http_answer() -> Vec<u8> {
    let body = crate::xks::Fault::from(FaultKind::NotHttp).body();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if self.is_http1 && buffer.filled().len() > before {
            self.activity.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.replacement.is_none() && this.is_hypers_own(bytes) {
            this.replacement = Some((not_http_answer(), 0));
        }
        let Some((answer, written)) = &mut this.replacement else {
            return Pin::new(&mut this.inner).poll_write(context, bytes);
        };
        while let Some(rest) = answer.get(*written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut this.inner).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *written += more,
            }
        }
        // As far as hyper knows, its own answer has been written. It closes the connection next.
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    /// One buffer per write, so that an answer is one TLS record.
    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn an_idle_connection_is_not_a_slow_one() {
        let activity = Activity::new();
        assert_eq!(
            activity.judge(Duration::ZERO, LONG),
            Judgement::HeadTooSlow,
            "who connects has something to say"
        );
        drop(activity.request_begins());
        assert_eq!(activity.judge(LONG, LONG), Judgement::Fine);
        assert_eq!(activity.judge(LONG, Duration::ZERO), Judgement::Idle);
        assert_eq!(
            activity.judge(Duration::ZERO, LONG),
            Judgement::Fine,
            "no head has begun"
        );
        activity.bytes_came();
        assert_eq!(activity.judge(Duration::ZERO, LONG), Judgement::HeadTooSlow);
        let busy = activity.request_begins();
        assert_eq!(
            activity.judge(Duration::ZERO, Duration::ZERO),
            Judgement::Fine
        );
        activity.bytes_came();
        drop(busy);
        assert_eq!(
            activity.judge(Duration::ZERO, LONG),
            Judgement::Fine,
            "body bytes are no head"
        );
    }

    #[tokio::test]
    async fn hypers_answer_is_replaced_and_others_are_not() {
        let hypers = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let ours = b"HTTP/1.1 405 Method Not Allowed\r\ncontent-type: application/json\r\n\r\n";
        for (written, replaced) in [(&hypers[..], true), (&ours[..], false)] {
            let (near, mut far) = tokio::io::duplex(4_096);
            let mut guarded = Guarded::new(near, Activity::new(), true);
            guarded.write_all(written).await.unwrap();
            drop(guarded);
            let mut text = String::new();
            far.read_to_string(&mut text).await.unwrap();
            assert_eq!(text.contains("ValidationException"), replaced, "{text}");
            assert_eq!(text.as_bytes() == written, !replaced);
        }
    }
}
