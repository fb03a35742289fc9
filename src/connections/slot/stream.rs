//! A client's socket, which tells the pool how the handshake progresses.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::handle::Handle;

/// The socket under TLS or, on the admin listener, under HTTP.
///
/// A handshake progresses with the client's first bytes, and with its first bytes after each answer of ours. More bytes of the same flight are no
/// progress: a client that trickles them is as slow as one that stalls.
pub struct ClientStream {
    socket: TcpStream,
    handle: Handle,
    /// Whether the client's next bytes are progress.
    is_clients_turn: bool,
}

impl ClientStream {
    pub(in crate::connections) fn new(socket: TcpStream, handle: Handle) -> Self {
        Self {
            socket,
            handle,
            is_clients_turn: true,
        }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        // A reset leaves nothing of a displaced stranger in the kernel; a regular close leaves TIME_WAIT or FIN_WAIT for up to a minute.
        if self.handle.is_displaced_stranger() {
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
        if self.is_clients_turn && buffer.filled().len() > before {
            self.is_clients_turn = false;
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
        self.is_clients_turn = self.handle.is_handshaking();
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_clients_turn = self.handle.is_handshaking();
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
