//! One end of a channel to a worker: packets, without blocking.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How often a buffer that is full is tried again: only when a list of thousands of keys is sent.
const FULL_POLL: Duration = Duration::from_millis(5);

/// A connected `SOCK_SEQPACKET` socket.
pub(in crate::hsm) struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    /// Owns the socket from now on.
    ///
    /// # Errors
    /// When the event queue of the operating system rejects it.
    #[expect(
        deprecated,
        reason = "its fault is a type that closes its descriptor while registered; an OwnedFd does not, and the new form is unsafe"
    )]
    pub(in crate::hsm) fn new(socket: OwnedFd) -> io::Result<Self> {
        // Not for writing: a packet is sent at once or not at all, and each write registration costs some microseconds.
        AsyncFd::with_interest(socket, Interest::READABLE).map(Self)
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// When the other side is gone, or does not read: its buffer holds many times the packets that may be on their way.
    pub(in crate::hsm) fn send(&self, packet: &[u8]) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = rustix::net::send(self.0.get_ref().as_fd(), packet, flags)?;
        match sent == packet.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Sends a packet as soon as the other side has room for it.
    ///
    /// # Errors
    /// When the other side is gone.
    pub(in crate::hsm) async fn send_when_possible(&self, packet: &[u8]) -> io::Result<()> {
        loop {
            match self.send(packet) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(FULL_POLL).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Ends both directions. The other side reads the end.
    pub(in crate::hsm) fn shut_down(&self) {
        // It may be gone already.
        let _ = rustix::net::shutdown(self.0.get_ref(), Shutdown::Both);
    }

    /// Waits for a packet and returns its length; 0 when the other side is gone.
    ///
    /// # Errors
    /// When the packet is longer than `buffer`, or the socket fails.
    pub(in crate::hsm) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let received = ready.try_io(|socket| {
                let (_, length) = rustix::net::recv(socket.get_ref(), &mut *buffer, flags)?;
                Ok(length)
            });
            match received {
                Ok(Ok(length)) if length > buffer.len() => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                // The other process ended with packets of ours unread. The error comes once, before what it had sent: that says why it ended.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Ok(outcome) => return outcome,
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[tokio::test]
    async fn what_a_process_said_is_read_also_if_it_ended_with_packets_unread() {
        let flags = SocketFlags::CLOEXEC;
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let (ours, theirs) = pair.unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.send(b"an order that nobody reads").unwrap();
        rustix::net::send(&theirs, b"last words", SendFlags::empty()).unwrap();
        drop(theirs);
        let mut buffer = [0; 64];
        assert_eq!(channel.receive(&mut buffer).await.unwrap(), 10);
        assert_eq!(&buffer[..10], b"last words");
        assert_eq!(channel.receive(&mut buffer).await.unwrap(), 0);
    }
}
