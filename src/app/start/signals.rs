//! The signals of the operating system, from the start of the runtime to the end; before, see [`super::first_signals`].
//!
//! # Invariants
//! - After [`Signals::take`] no SIGHUP, SIGUSR1 or SIGUSR2 ends the process, and no SIGHUP is lost: one that comes during the start has the
//!   configuration read again as soon as the proxy serves.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::first_signals::FirstSignals;
use crate::sync::essential_task;

/// SIGTERM and SIGINT, which stop the proxy, and SIGHUP, which has it read its configuration again.
pub(in crate::app) struct Signals {
    stop: watch::Receiver<Option<&'static str>>,
    hang_up: Arc<Notify>,
}

impl Signals {
    /// Takes the signals over, with those that came before. To be called on the runtime.
    pub(in crate::app) fn take(first: &FirstSignals) -> io::Result<Self> {
        let taken = Taken {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        };
        // Only now: one that comes in between is seen twice, not missed.
        let (asked, stop) = watch::channel(first.stop());
        let hang_up = Arc::new(Notify::new());
        if first.has_hung_up() {
            hang_up.notify_one();
        }
        essential_task("signals", taken.watch(asked, Arc::clone(&hang_up)));
        Ok(Self { stop, hang_up })
    }

    /// Resolves when the proxy is asked to stop.
    pub(in crate::app) async fn stop(&self) {
        let mut stop = self.stop.clone();
        // The sender lives as long as the task, without which the process ends.
        let Ok(signal) = stop.wait_for(Option::is_some).await else {
            return std::future::pending().await;
        };
        tracing::info!(signal = *signal, "stopping");
    }

    /// Resolves when the configuration is to be read again. Many SIGHUPs before the call are one.
    pub(in crate::app) async fn hang_up(&self) {
        self.hang_up.notified().await;
    }
}

struct Taken {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Taken {
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
                "signal ignored; SIGHUP reads the configuration again, SIGTERM stops"
            );
        }
    }
}
