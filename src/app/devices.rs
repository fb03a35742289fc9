//! The devices of the running proxy: started, changed, added and taken away, closed at the end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::ekm::KeyManager;
use crate::hsm::{Hsm, HsmMetrics, HsmSettings, Workers};
use crate::sync::{poisoned, task};

/// How long a device that was taken away is kept for those who still wait for its answer; no request waits longer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether they still wait.
const POLL: Duration = Duration::from_millis(20);

/// Every device, by its name.
pub(super) struct Devices {
    workers: Workers,
    metrics: HsmMetrics,
    all: Mutex<HashMap<Arc<str>, Arc<Hsm>>>,
    /// Devices that were taken away and are not closed yet.
    leaving: Arc<AtomicUsize>,
}

impl Devices {
    /// No devices.
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

    /// Starts a device that was not there before.
    pub(super) fn add(&self, settings: HsmSettings) {
        let hsm = Hsm::start(settings, &self.workers, &self.metrics);
        self.lock().insert(Arc::clone(hsm.name()), hsm);
    }

    /// Gives a device other settings.
    pub(super) fn change(&self, settings: HsmSettings) {
        if let Some(hsm) = self.of_name(&settings.name) {
            hsm.change(settings);
        }
    }

    /// Takes a device away; it is closed when nobody waits for its answers any more.
    pub(super) fn remove(&self, name: &str) {
        let Some(hsm) = self.lock().remove(name) else {
            return;
        };
        // At once: a device of this name that comes back meanwhile has series of its own.
        hsm.forget();
        let leaving = Arc::clone(&self.leaving);
        leaving.fetch_add(1, Ordering::AcqRel);
        task("hsm-removal", async move {
            leave(&hsm).await;
            leaving.fetch_sub(1, Ordering::AcqRel);
        });
    }

    /// The device of this name.
    pub(super) fn of_name(&self, name: &str) -> Option<Arc<Hsm>> {
        self.lock().get(name).map(Arc::clone)
    }

    /// All of them, in the order of their names.
    pub(super) fn all(&self) -> Vec<Arc<Hsm>> {
        let mut all: Vec<_> = self.lock().values().map(Arc::clone).collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
        all
    }

    /// Whether `wanted` is true of one of them.
    pub(super) fn any(&self, wanted: impl Fn(&Hsm) -> bool) -> bool {
        self.lock().values().any(|hsm| wanted(hsm))
    }

    /// The settings, by their places, with which devices did not open; they serve with older ones.
    pub(super) fn rejecting_settings(&self) -> Vec<String> {
        let all = self.lock();
        let rejecting = all.iter().filter(|(_, hsm)| hsm.rejects_settings());
        rejecting.map(|(name, _)| format!("hsm.{name}")).collect()
    }

    /// Brings the gauges that follow the devices up to date.
    pub(super) fn publish_gauges(&self) {
        self.lock().values().for_each(|hsm| hsm.publish_gauges());
    }

    /// Ends the workers of every device.
    pub(super) async fn close(&self) {
        let all: Vec<_> = self.lock().drain().map(|(_, hsm)| hsm).collect();
        let closing: Vec<_> = all
            .into_iter()
            .map(|hsm| task("hsm-stop", async move { hsm.stop().await }))
            .collect();
        for closed in closing {
            // One that panicked has ended the process.
            drop(closed.await);
        }
    }
}

async fn leave(hsm: &Arc<Hsm>) {
    let until = Instant::now() + ANSWER_PATIENCE;
    while Arc::strong_count(hsm) > 1 && Instant::now() < until {
        sleep(POLL).await;
    }
    hsm.stop().await;
    tracing::info!(hsm = %hsm.name(), "the HSM is closed");
}
