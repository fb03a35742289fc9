//! A launcher that a test plays.

use std::io;

use tokio::sync::mpsc;

use super::client::Workers;
use super::order::{Order, StartedWorker, WorkerProcess};
use crate::hsm_protocol::launch::FrontRequest;

/// A request of the front to the launcher.
pub(in crate::hsm) enum LauncherRequest {
    /// Start a worker, and send the result to this.
    Start(PendingStart),
    /// Kill this worker.
    Kill(u32),
}

/// Where the result of a start is sent.
pub(in crate::hsm) struct PendingStart(super::order::Reply);

/// The launcher's end of the channel.
pub(in crate::hsm) struct FakeLauncher {
    orders: mpsc::UnboundedReceiver<Order>,
    to_self: mpsc::UnboundedSender<Order>,
}

impl FakeLauncher {
    pub(in crate::hsm) fn new() -> (Workers, Self) {
        let (to_self, orders) = mpsc::unbounded_channel();
        let workers = Workers::fake(to_self.clone());
        (workers, Self { orders, to_self })
    }

    /// The next request, if there was one.
    pub(in crate::hsm) fn next(&mut self) -> Option<LauncherRequest> {
        loop {
            match self.orders.try_recv().ok()? {
                Order::Start { reply, .. } => {
                    return Some(LauncherRequest::Start(PendingStart(reply)));
                }
                Order::Send(FrontRequest::Kill { worker }) => {
                    return Some(LauncherRequest::Kill(worker));
                }
                Order::Send(_) | Order::LogWarnings => {}
            }
        }
    }

    /// The process of a worker. A request to kill it arrives at this launcher.
    pub(in crate::hsm) fn process(&self, number: u32) -> WorkerProcess {
        WorkerProcess {
            number,
            orders: self.to_self.clone(),
        }
    }
}

impl PendingStart {
    pub(in crate::hsm) fn started(self, worker: io::Result<StartedWorker>) {
        drop(self.0.send(worker));
    }
}
