//! Finishes and records verified requests whose client has disconnected.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::sync::task_on;

/// The tasks that finish such requests. Clones share them.
#[derive(Clone)]
pub(in crate::server) struct Detached(watch::Sender<usize>);

/// Counts a task as running until this is dropped, also when the task panics.
struct Running(watch::Sender<usize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

impl Default for Detached {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Detached {
    /// Runs `work` to its end in a new task. Without a runtime, which means that the process is ending, drops `work`.
    pub(in crate::server) fn finish(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        self.0.send_modify(|running| *running += 1);
        let running = Running(self.0.clone());
        let finishing = task_on(&runtime, "detached request", async move {
            work.await;
            drop(running);
        });
        drop(finishing);
    }

    /// Waits until all tasks have ended.
    pub(in crate::server) async fn ended(&self) {
        // `self` has the sender, so the channel is not closed.
        drop(self.0.subscribe().wait_for(|running| *running == 0).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    use tokio::sync::Notify;
    use tokio::time::timeout;

    #[tokio::test]
    async fn the_end_waits_for_detached_requests() {
        let (detached, go, done) = (
            Detached::default(),
            Arc::new(Notify::new()),
            Arc::new(AtomicBool::new(false)),
        );
        let (signal, is_done) = (Arc::clone(&go), Arc::clone(&done));
        detached.clone().finish(async move {
            signal.notified().await;
            is_done.store(true, Ordering::SeqCst);
        });
        let early = timeout(Duration::from_millis(20), detached.ended()).await;
        assert!(early.is_err());
        go.notify_one();
        detached.ended().await;
        assert!(done.load(Ordering::SeqCst));
    }
}
