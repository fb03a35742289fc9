//! The requests to the task that serves the launcher, and their results.

use std::io;
use std::os::fd::OwnedFd;

use tokio::sync::{mpsc, oneshot};

use crate::hsm_protocol::launch::{FrontRequest, HsmName, SettingsChoice, WorkerEnd};

/// Where the result of a start is sent.
pub(super) type Reply = oneshot::Sender<io::Result<StartedWorker>>;

/// A request to the task.
#[derive(Debug)]
pub(super) enum Order {
    /// Sends a frame that has no answer.
    Send(FrontRequest),
    /// Logs all warnings of the launcher, including earlier ones.
    LogWarnings,
    /// Starts a worker.
    Start {
        hsm: HsmName,
        sessions: u16,
        settings: SettingsChoice,
        reply: Reply,
    },
}

/// A started worker: the front's ends of its channels.
#[derive(Debug)]
pub struct StartedWorker {
    /// Kills the worker when dropped.
    pub process: WorkerProcess,
    /// The control channel.
    pub control: OwnedFd,
    /// The standard output and standard error of the worker. Closed when the worker and its children have ended.
    pub output: OwnedFd,
    /// One socket per session.
    pub sessions: Vec<OwnedFd>,
    /// Resolves once, when the worker has ended and its process group was killed.
    pub end: oneshot::Receiver<WorkerEnd>,
}

/// A running worker. It is killed, with its process group, when this is dropped.
#[derive(Debug)]
pub struct WorkerProcess {
    pub(super) number: u32,
    pub(super) orders: mpsc::UnboundedSender<Order>,
}

impl WorkerProcess {
    /// The launcher's number of the worker, unique until the launcher ends.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Kills the worker and its process group.
    pub fn kill(&self) {
        self.order(FrontRequest::Kill {
            worker: self.number,
        });
    }

    /// Marks the settings of the worker as the last good ones of its HSM. To be called when the worker serves.
    pub fn good(&self) {
        self.order(FrontRequest::Good {
            worker: self.number,
        });
    }

    fn order(&self, request: FrontRequest) {
        drop(self.orders.send(Order::Send(request)));
    }
}

#[cfg(test)]
impl WorkerProcess {
    /// A worker that a test plays.
    pub(in crate::hsm) fn fake(number: u32) -> Self {
        let (orders, _) = mpsc::unbounded_channel();
        Self { number, orders }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
