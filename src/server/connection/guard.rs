//! The guard of a connection, between TLS and hyper. It limits the bytes outside requests, and it replaces hyper's own error responses.
//!
//! The guard parses the bytes that hyper reads: over HTTP/1 it finds the end of each head ([`http1`]), over HTTP/2 the frames ([`http2`]). So it
//! detects an incomplete head, even one that arrived in one packet with the previous request.
//!
//! hyper answers bytes that are not HTTP with an empty 400. But every response of the proxy has a JSON body (XKS API, "Errors"), so the guard replaces
//! hyper's response.
//!
//! # Invariants
//! - At most [`MAX_HEAD`] bytes reach hyper without a complete request head; then the connection ends. Bodies do not count. So a flood of cheap frames
//!   (PING, SETTINGS, PRIORITY, WINDOW_UPDATE) ends the connection, even while a request is in progress.

mod bound;
mod http1;
mod http2;
mod throttle;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use crate::connections::End;
use crate::server::response;
use bound::Flood;
pub(super) use bound::MAX_HEAD;
use http1::Http1;
use http2::Http2;
pub(super) use throttle::Throttle;

/// The stream under hyper.
pub(super) struct Guarded<T> {
    inner: T,
    activity: Arc<Activity>,
    protocol: Protocol,
    /// Only over HTTP/2.
    throttle: Option<Throttle>,
    /// The response that replaces hyper's, and the number of its bytes that are written.
    replacement: Option<(Vec<u8>, usize)>,
}

enum Protocol {
    Http1(Http1),
    Http2(Http2),
}

impl Protocol {
    /// Parses received bytes. Returns how many of them hyper may read now, at least one. With a throttle, they end where a new stream begins.
    fn take(
        &mut self,
        bytes: &[u8],
        activity: &Activity,
        throttle: Option<&mut Throttle>,
    ) -> Result<usize, Flood> {
        match self {
            Self::Http1(http1) => http1.take(bytes, activity),
            Self::Http2(http2) => {
                let throttle = throttle.filter(|throttle| throttle.counts());
                let taken = http2.take(bytes, activity, throttle.is_some())?;
                if let Some(throttle) = throttle.filter(|_| http2.begins_stream()) {
                    throttle.note_request();
                }
                Ok(taken)
            }
        }
    }
}

impl<T> Guarded<T> {
    pub(super) fn new(inner: T, activity: Arc<Activity>, throttle: Option<Throttle>) -> Self {
        let protocol = match activity.is_http1() {
            true => Protocol::Http1(Http1::default()),
            false => Protocol::Http2(Http2::default()),
        };
        Self {
            inner,
            activity,
            protocol,
            throttle,
            replacement: None,
        }
    }

    /// Returns whether these bytes are hyper's own response to bytes that are not a request: a client error without a body and without the content type
    /// of the proxy's responses.
    fn is_response_of_hyper(&self, written: &[u8]) -> bool {
        let has_content_type = || written.windows(13).any(|part| part == b"content-type:");
        self.activity.is_http1()
            && written.starts_with(b"HTTP/1.1 4")
            && written.ends_with(b"\r\n\r\n")
            && !has_content_type()
    }
}

impl<T: AsyncBufRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(throttle) = &mut this.throttle {
            ready!(throttle.poll_released(context));
        }
        let available = ready!(Pin::new(&mut this.inner).poll_fill_buf(context))?;
        let offered = available.get(..buffer.remaining()).unwrap_or(available);
        if offered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let (activity, throttle) = (&this.activity, this.throttle.as_mut());
        let Ok(taken) = this.protocol.take(offered, activity, throttle) else {
            this.activity.ends_by(End::Flood);
            let error = io::Error::other("too many bytes without a request");
            return Poll::Ready(Err(error));
        };
        let taken = offered.get(..taken).unwrap_or(offered);
        buffer.put_slice(taken);
        let taken = taken.len();
        Pin::new(&mut this.inner).consume(taken);
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
        if this.replacement.is_none() && this.is_response_of_hyper(bytes) {
            this.replacement = Some((response::not_http(), 0));
        }
        let Some((response, written)) = &mut this.replacement else {
            return Pin::new(&mut this.inner).poll_write(context, bytes);
        };
        while let Some(rest) = response.get(*written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut this.inner).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *written += more,
            }
        }
        // hyper assumes that its own response has been written, and closes the connection next.
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    /// Returns false, so that hyper writes a response from one buffer and it becomes one TLS record.
    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::connection::activity::tests::activity;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

    #[tokio::test]
    async fn only_hypers_own_response_is_replaced() {
        let hypers = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let ours = b"HTTP/1.1 405 Method Not Allowed\r\ncontent-type: application/json\r\n\r\n";
        for (written, replaced) in [(&hypers[..], true), (&ours[..], false)] {
            let (near, mut far) = tokio::io::duplex(4_096);
            let mut guarded = Guarded::new(near, activity(true), None);
            guarded.write_all(written).await.unwrap();
            drop(guarded);
            let mut text = String::new();
            far.read_to_string(&mut text).await.unwrap();
            assert_eq!(text.contains("ValidationException"), replaced, "{text}");
            assert_eq!(text.as_bytes() == written, !replaced);
        }
    }

    #[tokio::test]
    async fn a_flood_ends_the_connection_and_a_body_does_not() {
        let activity = activity(true);
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut guarded = Guarded::new(BufReader::new(near), Arc::clone(&activity), None);
        let head = b"POST / HTTP/1.1\r\n\r\n";
        far.write_all(head).await.unwrap();
        let mut buffer = vec![0; 2 * MAX_HEAD];
        guarded.read_exact(&mut buffer[..head.len()]).await.unwrap();
        let _in_progress = activity.request_begins(Some(2 * MAX_HEAD as u64));
        far.write_all(&buffer).await.unwrap();
        guarded.read_exact(&mut buffer).await.unwrap();
        assert_eq!(activity.end(), End::Closed);
        far.write_all(&vec![b'x'; MAX_HEAD + 1]).await.unwrap();
        assert!(guarded.read_exact(&mut buffer).await.is_err());
        assert_eq!(activity.end(), End::Flood);
    }
}
