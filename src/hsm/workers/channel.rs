//! The channel to the launcher, on tokio.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::hsm_protocol::launch::{Frame, FrontMessage, MAX_FRAME};
use crate::hsm_protocol::packet::{self, Packet, Wait};

/// A message of the launcher with its descriptors.
pub(super) struct Message {
    pub(super) message: FrontMessage,
    /// Fewer than were sent if this process has none left.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// The channel, with frames that wait to be sent.
pub(super) struct Channel {
    /// Tokio knows no packets, and needs to know none: it only says when to try.
    socket: UnixStream,
    queue: VecDeque<Vec<u8>>,
}

impl Channel {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
            queue: VecDeque::new(),
        })
    }

    /// Queues a frame; [`Channel::next`] sends it.
    pub(super) fn send(&mut self, frame: &impl Frame) {
        self.queue.push_back(frame.encode());
    }

    /// Sends what is queued, and returns the next message. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the launcher has ended, or sent something that is no frame.
    pub(super) async fn next(&mut self) -> io::Result<Message> {
        loop {
            self.flush()?;
            match self.socket.try_io(Interest::READABLE, || self.receive()) {
                Ok(packet) => return message(packet),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let interest = match self.queue.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            self.socket.ready(interest).await?;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.queue.front() {
            let send = || packet::send(&self.socket, bytes, &[], Wait::No);
            match self.socket.try_io(Interest::WRITABLE, send) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&self) -> io::Result<Packet> {
        let packet = packet::receive(&self.socket, MAX_FRAME, Wait::No)?;
        packet.ok_or_else(gone)
    }
}

fn message(packet: Packet) -> io::Result<Message> {
    Ok(Message {
        message: FrontMessage::decode(&packet.bytes).map_err(io::Error::other)?,
        descriptors: packet.descriptors,
    })
}

/// The launcher has ended.
pub(super) fn gone() -> io::Error {
    io::Error::other("the launcher has ended")
}
