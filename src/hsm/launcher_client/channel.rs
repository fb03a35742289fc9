//! The channel to the launcher.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::hsm_protocol::launch::{Frame, FrontMessage, MAX_FRAME};
use crate::hsm_protocol::packet::{self, Packet, Wait};

/// A message of the launcher, with descriptors.
pub(super) struct Message {
    pub(super) message: FrontMessage,
    /// Fewer than the launcher sent, if this process has no descriptors left.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// The channel, with unsent frames.
pub(super) struct Channel {
    /// Tokio has no type for packet sockets. It is only used to wait until the socket is ready.
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

    /// Sends the queued frames, and returns the next message. Cancel-safe.
    ///
    /// # Errors
    /// When the launcher has ended, or sent an invalid frame.
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
