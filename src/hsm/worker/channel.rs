//! The front's end of a channel to a worker. It sends and receives packets without blocking.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The pause before a packet is sent again to a full socket. It occurs only when a list of thousands of keys is sent.
const FULL_POLL: Duration = Duration::from_millis(5);

/// A connected `SOCK_SEQPACKET` socket.
pub(in crate::hsm) struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    /// Creates the channel, which owns the socket.
    ///
    /// # Errors
    /// When the socket cannot be registered with the event queue of the operating system.
    #[expect(
        deprecated,
        reason = "it is unsound only for types that close their descriptor while registered; an OwnedFd does not, and the new function is unsafe"
    )]
    pub(in crate::hsm) fn new(socket: OwnedFd) -> io::Result<Self> {
        // Only for reading: sending never waits for the socket, and a registration for writing costs some microseconds.
        AsyncFd::with_interest(socket, Interest::READABLE).map(Self)
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// When the other side is closed, or its buffer is full because it does not read.
    pub(in crate::hsm) fn send(&self, packet: &[u8]) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = rustix::net::send(self.0.get_ref().as_fd(), packet, flags)?;
        match sent == packet.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Sends a packet as soon as the buffer has space.
    ///
    /// # Errors
    /// When the other side is closed.
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

    /// Closes both directions. The other side reads the end of the stream.
    pub(in crate::hsm) fn shut_down(&self) {
        // An error means that the other side is already closed.
        let _ = rustix::net::shutdown(self.0.get_ref(), Shutdown::Both);
    }

    /// Waits for a packet and returns its length; 0 when the other side is closed.
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
                // The other process ended without reading all packets. This error is returned once, before the packets that it sent: they are read
                // next.
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
    async fn packets_of_a_process_are_read_even_if_it_ended_with_unread_packets() {
        let flags = SocketFlags::CLOEXEC;
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let (ours, theirs) = pair.unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.send(b"a packet that is not read").unwrap();
        rustix::net::send(&theirs, b"last words", SendFlags::empty()).unwrap();
        drop(theirs);
        let mut buffer = [0; 64];
        assert_eq!(channel.receive(&mut buffer).await.unwrap(), 10);
        assert_eq!(&buffer[..10], b"last words");
        assert_eq!(channel.receive(&mut buffer).await.unwrap(), 0);
    }
}
