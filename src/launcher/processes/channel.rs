//! The launcher's side of a channel to one of its processes.
//!
//! # Invariants
//! - Sending never waits: packets that do not fit into the socket buffer are queued.
//! - While packets are queued, nothing is read. So the queue is bounded: the answer to one request, and reports of ends since then.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags};

use crate::hsm_protocol::launch::{Frame, MAX_FRAME};
use crate::hsm_protocol::packet::{self, MAX_DESCRIPTORS, Wait};

/// The most requests of one process in one turn of the loop, so that no process delays the others.
pub(in crate::launcher) const REQUESTS_PER_TURN: usize = 16;

/// The launcher's end of a socket pair; a child process has the other end.
pub(in crate::launcher) struct Channel {
    socket: OwnedFd,
    queue: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    is_closed: bool,
    is_stalled: bool,
}

/// The result of a read.
pub(in crate::launcher) enum Received<F> {
    /// A frame.
    Frame(F),
    /// Nothing more for now.
    Nothing,
    /// The other side closed the channel.
    Closed,
}

impl Channel {
    /// Creates a channel, and the socket for the process.
    ///
    /// # Errors
    /// When no descriptors are left.
    pub(in crate::launcher) fn new() -> io::Result<(Self, OwnedFd)> {
        let (socket, other) = packet::pair()?;
        let channel = Self {
            socket,
            queue: VecDeque::new(),
            is_closed: false,
            is_stalled: false,
        };
        Ok((channel, other))
    }

    /// Returns the event to wait for. Call it only while the channel is open.
    pub(in crate::launcher) fn event(&self) -> PollFd<'_> {
        let flags = match (self.is_stalled, self.queue.is_empty()) {
            (true, _) => PollFlags::empty(),
            (_, true) => PollFlags::IN,
            (_, false) => PollFlags::OUT,
        };
        PollFd::new(&self.socket, flags)
    }

    /// Returns whether the system had no memory for a packet. Call [`Channel::flush`] again after a pause.
    pub(in crate::launcher) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// Returns whether the channel can still be used.
    pub(in crate::launcher) fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Sends a frame, or queues it.
    pub(in crate::launcher) fn send(&mut self, frame: &impl Frame) {
        self.queue.push_back((frame.encode(), Vec::new()));
        self.flush();
    }

    /// Sends a frame with descriptors. Descriptors that do not fit into one packet follow in packets with the bytes of `more`.
    pub(in crate::launcher) fn send_with(
        &mut self,
        frame: &impl Frame,
        mut descriptors: Vec<OwnedFd>,
        more: impl Fn() -> Vec<u8>,
    ) {
        let mut bytes = frame.encode();
        loop {
            let rest = descriptors.split_off(descriptors.len().min(MAX_DESCRIPTORS));
            self.queue.push_back((bytes, descriptors));
            if rest.is_empty() {
                return self.flush();
            }
            (bytes, descriptors) = (more(), rest);
        }
    }

    /// Sends queued packets until the socket buffer is full.
    pub(in crate::launcher) fn flush(&mut self) {
        self.is_stalled = false;
        while let Some((bytes, descriptors)) = self.queue.front() {
            let borrowed: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
            match packet::send(&self.socket, bytes, &borrowed, Wait::No) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_transient(&error) => {
                    self.is_stalled = true;
                    return;
                }
                Err(_) => return self.close(),
            }
        }
    }

    /// Receives a frame without waiting.
    ///
    /// # Errors
    /// When the process sent an invalid frame.
    pub(in crate::launcher) fn receive<F: Frame>(&mut self) -> io::Result<Received<F>> {
        if self.is_closed || !self.queue.is_empty() {
            return Ok(Received::Nothing);
        }
        match packet::receive(&self.socket, MAX_FRAME, Wait::No) {
            Ok(Some(packet)) if packet.descriptors.is_empty() && !packet.lost_descriptors => {
                let frame = F::decode(&packet.bytes).map_err(io::Error::other)?;
                Ok(Received::Frame(frame))
            }
            Ok(Some(_)) => Err(io::Error::other("unexpected descriptors")),
            Ok(None) => {
                self.close();
                Ok(Received::Closed)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Drops queued packets, after the process has ended. Packets that it sent before can still be received.
    pub(in crate::launcher) fn stop_sending(&mut self) {
        self.queue.clear();
    }

    fn close(&mut self) {
        self.queue.clear();
        self.is_closed = true;
    }
}

/// Returns whether the same call may succeed later. `ETOOMANYREFS`: this user has too many descriptors in packets that were not received yet.
fn is_transient(error: &io::Error) -> bool {
    let transient = [
        rustix::io::Errno::TOOMANYREFS,
        rustix::io::Errno::NOBUFS,
        rustix::io::Errno::NOMEM,
    ];
    let code = error.raw_os_error();
    transient
        .iter()
        .any(|errno| Some(errno.raw_os_error()) == code)
}
