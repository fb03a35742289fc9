//! The interface of the client of the launcher.

use std::io;
use std::os::fd::OwnedFd;

use tokio::sync::{mpsc, oneshot};

use super::channel::{Channel, gone};
use super::exchange::Exchange;
use super::order::{Order, StartedWorker};
use crate::hsm_protocol::launch::{Frame as _, FrontRequest, HsmName, SettingsChoice};
use crate::hsm_protocol::packet::{self, Wait};
use crate::sync::essential_task;

/// Starts workers through the launcher. Clones use the same channel.
#[derive(Clone, Debug)]
pub struct Workers {
    orders: mpsc::UnboundedSender<Order>,
}

impl Workers {
    /// Starts the task that serves the channel to the launcher. To be called on the runtime. If the launcher ends, so does this process.
    ///
    /// # Errors
    /// When the descriptor cannot be registered with the runtime.
    pub fn connect(channel: OwnedFd) -> io::Result<Self> {
        let (orders, receiver) = mpsc::unbounded_channel();
        let exchange = Exchange::new(Channel::new(channel)?, receiver, orders.downgrade());
        essential_task("launcher", exchange.run());
        Ok(Self { orders })
    }

    /// Informs the launcher that this process handles signals, so that it forwards them. To be called before [`Workers::connect`].
    ///
    /// # Errors
    /// Those of [`packet::send`].
    pub fn forward_signals(channel: &OwnedFd) -> io::Result<()> {
        let request = FrontRequest::HandlesSignals.encode();
        packet::send(channel, &request, &[], Wait::Yes)
    }

    /// Starts to log warnings of the launcher. To be called after the log is set up.
    pub fn log_warnings(&self) {
        self.order(Order::LogWarnings);
    }

    /// Starts a worker for this HSM with 1 to 1024 sessions. Does not wait until it opens the token.
    ///
    /// # Errors
    /// When the launcher cannot start the worker, or not all descriptors can be received.
    pub async fn start(
        &self,
        hsm: &str,
        sessions: u16,
        settings: SettingsChoice,
    ) -> io::Result<StartedWorker> {
        let hsm = HsmName::new(hsm).ok_or(io::ErrorKind::InvalidInput)?;
        let (reply, started) = oneshot::channel();
        self.order(Order::Start {
            hsm,
            sessions,
            settings,
            reply,
        });
        started.await.unwrap_or_else(|_| Err(gone()))
    }

    fn order(&self, order: Order) {
        // The task runs as long as the process.
        drop(self.orders.send(order));
    }
}

#[cfg(test)]
impl Workers {
    /// A client whose launcher is a test.
    pub(super) fn fake(orders: mpsc::UnboundedSender<Order>) -> Self {
        Self { orders }
    }
}
