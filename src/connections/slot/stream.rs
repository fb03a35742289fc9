//! A client's socket, which reports the progress of the handshake to the pool.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::handle::Handle;

/// The socket under TLS or, on the admin listener, under HTTP.
///
/// A handshake progresses with the client's first bytes, and with its first bytes after each write of the proxy. Further bytes of the same flight do not
/// count as progress: a client that sends them slowly is handled like one that stalls.
pub struct ClientStream {
    socket: TcpStream,
    handle: Handle,
    /// True if the client's next bytes count as progress.
    expects_reply: bool,
}

impl ClientStream {
    pub(in crate::connections) fn new(socket: TcpStream, handle: Handle) -> Self {
        Self {
            socket,
            handle,
            expects_reply: true,
        }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        // A reset frees the connection in the kernel at once. A regular close leaves it in TIME_WAIT or FIN_WAIT for up to a minute.
        if self.handle.is_displaced_unverified() {
            drop(self.socket.set_zero_linger());
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        if self.expects_reply && buffer.filled().len() > before {
            self.expects_reply = false;
            self.handle.progress();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.expects_reply = self.handle.is_handshaking();
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.expects_reply = self.handle.is_handshaking();
        Pin::new(&mut self.socket).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
