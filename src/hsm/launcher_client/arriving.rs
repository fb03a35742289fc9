//! Collects the descriptors of a new worker, which arrive in several packets.

use std::io;
use std::os::fd::OwnedFd;

use tokio::sync::oneshot;

use super::order::{Reply, StartedWorker, WorkerProcess};
use crate::hsm_protocol::launch::WorkerEnd;
use crate::hsm_protocol::packet::MAX_DESCRIPTORS;

/// A new worker with outstanding packets.
pub(super) struct Arriving {
    /// The launcher's number of the worker.
    pub(super) number: u32,
    reply: Reply,
    wanted: usize,
    packets: usize,
    descriptors: Vec<OwnedFd>,
}

/// The descriptors of a worker.
pub(super) struct Descriptors {
    control: OwnedFd,
    output: OwnedFd,
    sessions: Vec<OwnedFd>,
}

impl Arriving {
    pub(super) fn new(number: u32, sessions: u16, reply: Reply) -> Self {
        // The control channel and the output come first.
        let wanted = usize::from(sessions) + 2;
        Self {
            number,
            reply,
            wanted,
            packets: wanted.div_ceil(MAX_DESCRIPTORS),
            descriptors: Vec::new(),
        }
    }

    /// Adds the descriptors of a packet. Returns whether it was the last one.
    pub(super) fn add(&mut self, descriptors: Vec<OwnedFd>) -> bool {
        self.descriptors.extend(descriptors);
        self.packets = self.packets.saturating_sub(1);
        self.packets == 0
    }

    /// Returns where to send the result, and the descriptors, unless some were lost.
    pub(super) fn into_parts(self) -> (Reply, io::Result<Descriptors>) {
        let (received, wanted) = (self.descriptors.len(), self.wanted);
        let mut descriptors = self.descriptors.into_iter();
        let parts = match (received == wanted, descriptors.next(), descriptors.next()) {
            (true, Some(control), Some(output)) => Ok(Descriptors {
                control,
                output,
                sessions: descriptors.collect(),
            }),
            _ => Err(io::Error::other(format!(
                "received only {received} of {wanted} descriptors of a worker; raise the limit of open files (LimitNOFILE)"
            ))),
        };
        (self.reply, parts)
    }
}

impl Descriptors {
    pub(super) fn of(
        self,
        process: WorkerProcess,
        end: oneshot::Receiver<WorkerEnd>,
    ) -> StartedWorker {
        StartedWorker {
            process,
            control: self.control,
            output: self.output,
            sessions: self.sessions,
            end,
        }
    }
}
