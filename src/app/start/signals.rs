//! Signals of the operating system while the runtime exists. For the time before, see [`super::first_signals`].
//!
//! # Invariants
//! - After [`Signals::take`] no SIGHUP, SIGUSR1 or SIGUSR2 ends the process, and no SIGHUP is lost: one that arrives during the start causes a
//!   reload as soon as the proxy serves.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::first_signals::FirstSignals;
use crate::sync::essential_task;

/// SIGTERM and SIGINT, which stop the proxy, and SIGHUP, which reloads its configuration.
pub(in crate::app) struct Signals {
    stop: watch::Receiver<Option<&'static str>>,
    hang_up: Arc<Notify>,
}

impl Signals {
    /// Handles signals from now on, including those that arrived before. Must be called on the runtime.
    ///
    /// # Errors
    /// When the operating system cannot install a handler.
    pub(in crate::app) fn take(first: &FirstSignals) -> io::Result<Self> {
        let streams = Streams {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        };
        // The flags are read after the handlers are installed: a signal in between counts twice instead of being lost.
        let (stop_sender, stop) = watch::channel(first.stop());
        let hang_up = Arc::new(Notify::new());
        if first.has_hung_up() {
            hang_up.notify_one();
        }
        essential_task("signals", streams.watch(stop_sender, Arc::clone(&hang_up)));
        Ok(Self { stop, hang_up })
    }

    /// Waits for a signal that stops the proxy, and logs it.
    pub(in crate::app) async fn stop(&self) {
        let mut stop = self.stop.clone();
        // The task that holds the sender never ends while the process runs.
        let Ok(signal) = stop.wait_for(Option::is_some).await else {
            return std::future::pending().await;
        };
        tracing::info!(signal = *signal, "stopping");
    }

    /// Waits for SIGHUP. Several SIGHUPs before the call count as one.
    pub(in crate::app) async fn hang_up(&self) {
        self.hang_up.notified().await;
    }
}

struct Streams {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Streams {
    async fn watch<Never>(
        mut self,
        stop: watch::Sender<Option<&'static str>>,
        hang_up: Arc<Notify>,
    ) -> Never {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => {
                    stop.send_replace(Some("SIGTERM"));
                    continue;
                }
                _ = self.interrupt.recv() => {
                    stop.send_replace(Some("SIGINT"));
                    continue;
                }
                _ = self.hang_up.recv() => {
                    hang_up.notify_one();
                    continue;
                }
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
            };
            tracing::warn!(
                signal = ignored,
                "signal ignored; SIGHUP reloads the configuration, SIGTERM stops the proxy"
            );
        }
    }
}
