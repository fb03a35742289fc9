//! What the task that speaks with the launcher is asked for, and what comes of it.

use std::io;
use std::os::fd::OwnedFd;

use tokio::sync::{mpsc, oneshot};

use crate::hsm_protocol::launch::{FrontRequest, HsmName, SettingsChoice, WorkerEnd};

/// Who asked for a worker.
pub(super) type Reply = oneshot::Sender<io::Result<StartedWorker>>;

/// What the task is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// Sends a frame that has no answer.
    Send(FrontRequest),
    /// Logs the warnings of the launcher from now on, and those that came before.
    LogWarnings,
    /// Starts a worker.
    Start {
        hsm: HsmName,
        sessions: u16,
        settings: SettingsChoice,
        reply: Reply,
    },
}

/// A worker that was started: the front's ends of its descriptors.
#[derive(Debug)]
pub struct StartedWorker {
    /// Kills the worker when dropped.
    pub process: WorkerProcess,
    /// The control channel.
    pub control: OwnedFd,
    /// What the worker writes to standard output and standard error; closed when the worker and its children ended.
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
    /// The launcher's number of the worker, unique in the life of the launcher: for the log.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Kills the worker and its process group.
    pub fn kill(&self) {
        self.order(FrontRequest::Kill {
            worker: self.number,
        });
    }

    /// Makes the settings of the worker the last good ones of its HSM. To be called once it serves.
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
    /// One that a test plays.
    pub(in crate::hsm) fn played(number: u32) -> Self {
        let (orders, _) = mpsc::unbounded_channel();
        Self { number, orders }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
