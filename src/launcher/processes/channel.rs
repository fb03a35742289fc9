//! The launcher's side of a channel to one of its processes.
//!
//! # Invariants
//! - Sending never waits: what the other side has no room for is queued.
//! - While packets are queued nothing is read, so that the queue holds the answer to one request and what happened meanwhile.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags};

use crate::hsm_protocol::launch::{Frame, MAX_FRAME};
use crate::hsm_protocol::packet::{self, MAX_DESCRIPTORS, Wait};

/// Most requests of one process per turn of the loop, so that no process keeps the others waiting.
pub(in crate::launcher) const REQUESTS_PER_TURN: usize = 16;

/// One end of a pair of sockets; the other one is a process.
pub(in crate::launcher) struct Channel {
    socket: OwnedFd,
    queue: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    is_closed: bool,
    is_stalled: bool,
}

/// What came of reading.
pub(in crate::launcher) enum Received<F> {
    /// A frame.
    Frame(F),
    /// Nothing more for now.
    Nothing,
    /// The other side closed the channel.
    Closed,
}

impl Channel {
    /// A channel, and the socket for the process.
    ///
    /// # Errors
    /// Without descriptors.
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

    /// The event to wait for, while the channel is open.
    pub(in crate::launcher) fn event(&self) -> PollFd<'_> {
        let flags = match (self.is_stalled, self.queue.is_empty()) {
            (true, _) => PollFlags::empty(),
            (_, true) => PollFlags::IN,
            (_, false) => PollFlags::OUT,
        };
        PollFd::new(&self.socket, flags)
    }

    /// Returns whether the system had no memory for a packet: it is to be sent again soon.
    pub(in crate::launcher) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// Returns whether the channel can still be used.
    pub(in crate::launcher) fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Sends a frame, at once or later.
    pub(in crate::launcher) fn send(&mut self, frame: &impl Frame) {
        self.queue.push_back((frame.encode(), Vec::new()));
        self.flush();
    }

    /// Sends a frame with descriptors; those for which one packet has no room follow in packets with the bytes of `more`.
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

    /// Sends what is queued, as far as there is room.
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
    /// When the other side sent something that is no frame.
    pub(in crate::launcher) fn receive<F: Frame>(&mut self) -> io::Result<Received<F>> {
        if self.is_closed || !self.queue.is_empty() {
            return Ok(Received::Nothing);
        }
        match packet::receive(&self.socket, MAX_FRAME, Wait::No) {
            Ok(Some(packet)) if packet.descriptors.is_empty() && !packet.lost_descriptors => {
                let frame = F::decode(&packet.bytes).map_err(io::Error::other)?;
                Ok(Received::Frame(frame))
            }
            Ok(Some(_)) => Err(io::Error::other("descriptors that nobody asked for")),
            Ok(None) => {
                self.close();
                Ok(Received::Closed)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// The process has ended: nothing more is sent. What it sent before can still be received.
    pub(in crate::launcher) fn stop_sending(&mut self) {
        self.queue.clear();
    }

    fn close(&mut self) {
        self.queue.clear();
        self.is_closed = true;
    }
}

/// Returns whether the same call may succeed later. `ETOOMANYREFS`: too many packets with descriptors of this user wait to be received.
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
