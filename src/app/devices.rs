//! The HSMs of the running proxy: started, changed, removed, and stopped at the end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::ekm::KeyManager;
use crate::hsm::{Hsm, HsmMetrics, HsmSettings, Workers};
use crate::sync::{poisoned, task};

/// How long an HSM that was removed finishes the jobs of running requests; no request takes longer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Interval between checks for running requests.
const POLL: Duration = Duration::from_millis(20);

/// All HSMs of the configuration, by name.
pub(super) struct Devices {
    workers: Workers,
    metrics: HsmMetrics,
    all: Mutex<HashMap<Arc<str>, Arc<Hsm>>>,
    /// The number of HSMs that were removed and are not closed yet.
    leaving: Arc<AtomicUsize>,
}

impl Devices {
    /// Creates an empty set.
    pub(super) fn new(workers: Workers, metrics: HsmMetrics) -> Self {
        Self {
            workers,
            metrics,
            all: Mutex::default(),
            leaving: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Hsm>>> {
        self.all.lock().unwrap_or_else(poisoned)
    }

    /// Starts a new HSM.
    pub(super) fn add(&self, settings: HsmSettings) {
        let hsm = Hsm::start(settings, &self.workers, &self.metrics);
        self.lock().insert(Arc::clone(hsm.name()), hsm);
    }

    /// Changes the settings of an HSM. Does nothing if no HSM has this name.
    pub(super) fn change(&self, settings: HsmSettings) {
        if let Some(hsm) = self.of_name(&settings.name) {
            hsm.change(settings);
        }
    }

    /// Removes an HSM. It is closed when no request uses it, or after [`ANSWER_PATIENCE`].
    pub(super) fn remove(&self, name: &str) {
        let Some(hsm) = self.lock().remove(name) else {
            return;
        };
        // At once: an HSM of the same name that is added again has its own time series.
        hsm.forget();
        let leaving = Arc::clone(&self.leaving);
        leaving.fetch_add(1, Ordering::AcqRel);
        task("hsm-removal", async move {
            close_when_unused(&hsm).await;
            leaving.fetch_sub(1, Ordering::AcqRel);
        });
    }

    /// Returns the HSM of this name.
    pub(super) fn of_name(&self, name: &str) -> Option<Arc<Hsm>> {
        self.lock().get(name).map(Arc::clone)
    }

    /// Returns all HSMs, sorted by name.
    pub(super) fn all(&self) -> Vec<Arc<Hsm>> {
        let mut all: Vec<_> = self.lock().values().map(Arc::clone).collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
        all
    }

    /// Returns whether one of the HSMs satisfies the condition.
    pub(super) fn any(&self, condition: impl Fn(&Hsm) -> bool) -> bool {
        self.lock().values().any(|hsm| condition(hsm))
    }

    /// Returns the tables (`hsm.NAME`) of the HSMs that cannot be opened with their new settings and serve with older ones.
    pub(super) fn rejecting_settings(&self) -> Vec<String> {
        let all = self.lock();
        let rejecting = all.iter().filter(|(_, hsm)| hsm.rejects_settings());
        rejecting.map(|(name, _)| format!("hsm.{name}")).collect()
    }

    /// Updates the gauges of all HSMs.
    pub(super) fn publish_gauges(&self) {
        self.lock().values().for_each(|hsm| hsm.publish_gauges());
    }

    /// Stops the workers of all HSMs.
    pub(super) async fn close(&self) {
        let all: Vec<_> = self.lock().drain().map(|(_, hsm)| hsm).collect();
        let closing: Vec<_> = all
            .into_iter()
            .map(|hsm| task("hsm-stop", async move { hsm.stop().await }))
            .collect();
        for closed in closing {
            // A panic of the task would have ended the process.
            drop(closed.await);
        }
    }
}

async fn close_when_unused(hsm: &Arc<Hsm>) {
    let until = Instant::now() + ANSWER_PATIENCE;
    while Arc::strong_count(hsm) > 1 && Instant::now() < until {
        sleep(POLL).await;
    }
    hsm.stop().await;
    tracing::info!(hsm = %hsm.name(), "HSM closed");
}
