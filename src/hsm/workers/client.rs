//! What the front asks for.

use std::io;
use std::os::fd::OwnedFd;

use tokio::sync::{mpsc, oneshot};

use super::channel::{Channel, gone};
use super::exchange::Exchange;
use super::order::{Order, StartedWorker};
use crate::hsm_protocol::launch::{Frame as _, FrontRequest, HsmName, SettingsChoice};
use crate::hsm_protocol::packet::{self, Wait};
use crate::sync::essential_task;

/// The workers that the launcher starts for this process. Clones are the same.
#[derive(Clone, Debug)]
pub struct Workers {
    orders: mpsc::UnboundedSender<Order>,
}

impl Workers {
    /// Uses the channel to the launcher. To be called on the runtime. Without the launcher the process ends.
    ///
    /// # Errors
    /// When the descriptor cannot be registered with the runtime.
    pub fn connect(channel: OwnedFd) -> io::Result<Self> {
        let (orders, of_task) = mpsc::unbounded_channel();
        let exchange = Exchange::new(Channel::new(channel)?, of_task, orders.downgrade());
        essential_task("launcher", exchange.run());
        Ok(Self { orders })
    }

    /// Tells the launcher that this process handles signals: it forwards them from now on. To be called before [`Workers::connect`].
    ///
    /// # Errors
    /// Those of [`packet::send`].
    pub fn forward_signals(channel: &OwnedFd) -> io::Result<()> {
        let request = FrontRequest::HandlesSignals.encode();
        packet::send(channel, &request, &[], Wait::Yes)
    }

    /// Logs warnings of the launcher. To be called once the log is set up.
    pub fn log_warnings(&self) {
        self.order(Order::LogWarnings);
    }

    /// Starts a worker for this HSM with 1 to 1024 sessions. It has not opened its token yet.
    ///
    /// # Errors
    /// When the launcher could not start it, or its descriptors could not be received.
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
        // The task ends with the process only.
        drop(self.orders.send(order));
    }
}

#[cfg(test)]
impl Workers {
    /// Those of a launcher that a test plays.
    pub(super) fn played(orders: mpsc::UnboundedSender<Order>) -> Self {
        Self { orders }
    }
}
