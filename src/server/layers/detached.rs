//! Verified requests whose client has gone: what was begun for them is finished and recorded.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::sync::task_on;

/// The tasks that finish them. Clones share them.
#[derive(Clone)]
pub(in crate::server) struct Detached(watch::Sender<usize>);

/// Counts a task until it has ended, in whatever way.
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
    /// Runs this to its end in a task of its own. Without a runtime, while the process ends, it is dropped.
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

    /// Waits until none is left.
    pub(in crate::server) async fn ended(&self) {
        // The sender is here: the channel is not closed.
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
    async fn the_end_waits_for_what_was_detached() {
        let (detached, go, done) = (
            Detached::default(),
            Arc::new(Notify::new()),
            Arc::new(AtomicBool::new(false)),
        );
        let (of_task, is_done) = (Arc::clone(&go), Arc::clone(&done));
        detached.clone().finish(async move {
            of_task.notified().await;
            is_done.store(true, Ordering::SeqCst);
        });
        let early = timeout(Duration::from_millis(20), detached.ended()).await;
        assert!(early.is_err());
        go.notify_one();
        detached.ended().await;
        assert!(done.load(Ordering::SeqCst));
    }
}
