//! The task that applies what the watcher reads.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::sleep_until;

use super::reloader::Reloader;
use super::watcher::Ask;
use crate::app::readiness::Phase;
use crate::config::Reading;
use crate::sync::End;

/// Applies each configuration that is read while the proxy serves.
pub(in crate::app) async fn reload(
    mut reloader: Reloader,
    mut readings: mpsc::Receiver<Reading>,
    ask: Ask,
    phase: Arc<Phase>,
) -> End {
    loop {
        let reading = tokio::select! {
            reading = readings.recv() => reading,
            () = until(reloader.due()) => {
                ask.ask();
                readings.recv().await
            }
        };
        let Some(reading) = reading else {
            return End::Unexpected("configuration changes have no effect".into());
        };
        if phase.is_draining() {
            tracing::warn!("configuration not applied; the proxy is stopping");
            continue;
        }
        // Thousands of keys take some milliseconds: requests must not wait for that.
        block_in_place(|| reloader.apply(reading));
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
