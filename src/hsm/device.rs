//! [`Hsm`]: the device as the rest of the program sees it.

use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::change::Wanted;
use super::job::{Reply, Work};
use super::metrics::HsmMetrics;
use super::module::Modules;
use super::settings::HsmSettings;
use super::shared::Shared;
use super::supervisor::supervise;
use super::trust::Trust;
use super::watch_list::WatchList;
use crate::clock::Deadline;
use crate::ekm::{
    DecryptJob, DescribeJob, DeviceReport, EncryptJob, ExpectedKey, KeyAttributes, KeyManager,
    KeyManagerError, KeyManagerFault, KeySelector, KeyState, Opened, Pending, Sealed,
};
use crate::sync::{self, poisoned};

/// How often it is looked whether threads have ended.
const STOP_POLL: Duration = Duration::from_millis(5);

/// A PKCS#11 token under its name in the configuration. Its settings may change while it serves, see [`Hsm::change`].
pub struct Hsm {
    pub(super) name: Arc<str>,
    pub(super) current: ArcSwap<Device>,
    pub(super) wanted: Wanted,
    pub(super) modules: Modules,
    pub(super) metrics: HsmMetrics,
    pub(super) watch_list: Arc<WatchList>,
    /// It did not open with the settings that it was given last.
    pub(super) rejects_settings: AtomicBool,
}

/// A token as some settings describe it, with its supervisor and owner threads.
pub(super) struct Device {
    pub shared: Arc<Shared>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Device {
    /// Starts the supervisor, which opens the token in the background; this call does not wait for it.
    pub(super) fn start(
        settings: HsmSettings,
        modules: &Modules,
        metrics: &HsmMetrics,
        trust: Arc<Trust>,
        watch_list: &Arc<WatchList>,
    ) -> std::io::Result<Arc<Self>> {
        let device_metrics = metrics.of_device(&settings.name);
        let name = format!("hsm-{}-supervisor", settings.name);
        let shared = Arc::new(Shared::new(settings, device_metrics, trust, watch_list));
        let (for_thread, modules) = (Arc::clone(&shared), modules.clone());
        let supervisor = sync::thread(name, move || supervise(&for_thread, &modules))?;
        Ok(Arc::new(Self {
            shared,
            supervisor: Mutex::new(Some(supervisor)),
        }))
    }

    /// See [`Hsm::stop`].
    pub(super) fn stop(&self, patience: Duration) -> bool {
        self.shared.request_stop();
        let supervisor = self.supervisor.lock().unwrap_or_else(poisoned).take();
        let until = Instant::now() + patience;
        let Some(supervisor) = supervisor else {
            return true;
        };
        while !supervisor.is_finished() && Instant::now() < until {
            thread::sleep(STOP_POLL);
        }
        let left = until.saturating_duration_since(Instant::now());
        supervisor.is_finished() && self.shared.wait_for_threads(left, Shared::is_quiet)
    }
}

impl Hsm {
    /// Starts the device, which is opened in the background; this call does not wait for it.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        settings: HsmSettings,
        modules: &Modules,
        metrics: &HsmMetrics,
    ) -> std::io::Result<Arc<Self>> {
        let name = Arc::clone(&settings.name);
        let watch_list = Arc::default();
        let device = Device::start(settings, modules, metrics, Arc::default(), &watch_list)?;
        device.shared.metrics.show(true);
        Ok(Arc::new(Self {
            name,
            current: ArcSwap::new(device),
            wanted: Wanted::default(),
            rejects_settings: AtomicBool::new(false),
            modules: modules.clone(),
            metrics: metrics.clone(),
            watch_list,
        }))
    }

    /// Expects these keys on the device, and no others: they are proved in the background.
    pub fn expect_keys(&self, keys: Vec<ExpectedKey>) {
        self.watch_list.set(keys);
        self.current.load().shared.wake();
    }

    /// Closes every session and ends the threads, within `patience`. Gives whether all of them ended: a thread that hangs
    /// inside the device cannot be ended, and then the library must not be finalized.
    pub fn stop(&self, patience: Duration) -> bool {
        let changes_are_over = self.wanted.close(patience);
        self.current.load_full().stop(patience) && changes_are_over
    }

    /// Takes what `/metrics` says of the device at the moment away: it is no longer configured.
    pub fn forget(&self) {
        self.current.load().shared.metrics.show(false);
        self.metrics.forget(&self.name);
    }

    /// Whether the last attempt to open the device, or its last check, has failed.
    pub fn has_failed(&self) -> bool {
        self.current.load().shared.has_failed()
    }

    /// Whether it serves with older settings, because it did not open with those that it was given last.
    pub fn rejects_settings(&self) -> bool {
        self.rejects_settings.load(Ordering::Relaxed)
    }

    /// Brings the gauges that follow the device up to date; called before metrics are read.
    pub fn publish_gauges(&self) {
        self.current.load().shared.publish_depth();
    }

    /// The error of a job whose key a proof has rejected.
    fn rejection(&self, key: &KeySelector) -> Option<KeyManagerError> {
        let device = self.current.load();
        let rejection = device.shared.rejection(key)?;
        let detail = format!("the key with {key} {}", rejection.reason);
        Some(device.shared.error(rejection.fault, detail))
    }

    /// Queues the work for this key, unless a proof has rejected the key.
    fn ask_with_key<T: Send + 'static>(
        &self,
        key: &KeySelector,
        deadline: Deadline,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Pending<'_, T> {
        match self.rejection(key) {
            Some(error) => Box::pin(ready(Err(error))),
            None => self.ask(deadline, work),
        }
    }

    /// Queues the work and waits for its answer until the deadline.
    fn ask<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Pending<'_, T> {
        let (reply, answer) = oneshot::channel();
        // Held until the answer is there: a device that is replaced lives as long as somebody waits for it.
        let device = self.current.load_full();
        device.shared.submit(work(reply));
        Box::pin(async move {
            let error = |fault, detail: &'static str| Err(device.shared.error(fault, detail));
            match tokio::time::timeout_at(deadline.instant().into(), answer).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => {
                    let (fault, detail) = why_dropped(deadline);
                    error(fault, detail)
                }
                Err(_) => error(KeyManagerFault::DeadlinePassed, "no answer in time"),
            }
        })
    }
}

impl KeyManager for Hsm {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn is_usable(&self) -> bool {
        self.current.load().shared.is_usable()
    }

    fn encrypt(&self, job: EncryptJob) -> Pending<'_, Sealed> {
        let key = Arc::clone(&job.key);
        self.ask_with_key(&key, job.deadline, |reply| Work::Encrypt(job, reply))
    }

    fn decrypt(&self, job: DecryptJob) -> Pending<'_, Opened> {
        let key = Arc::clone(&job.key);
        self.ask_with_key(&key, job.deadline, |reply| Work::Decrypt(job, reply))
    }

    fn describe(&self, job: DescribeJob) -> Pending<'_, KeyAttributes> {
        let key = Arc::clone(&job.key);
        let described = self.ask(job.deadline, |reply| Work::Describe(job, reply));
        Box::pin(async move {
            let mut described = described.await?;
            if self.rejection(&key).is_some() {
                // What the attributes permit, the device does not do.
                let usage = &mut described.value.usage;
                (usage.encrypt, usage.decrypt) = (false, false);
            }
            Ok(described)
        })
    }

    fn suspected_wait(&self) -> Duration {
        self.current.load().shared.suspected_wait()
    }

    fn key_state(&self, key: &KeySelector) -> Option<KeyState> {
        self.current.load().shared.key_state(key)
    }

    fn report(&self) -> DeviceReport {
        self.current.load().shared.report()
    }
}

/// Why a job went without an answer. The queue drops what is too late, and may notice that before the timer of the one who waits does.
fn why_dropped(deadline: Deadline) -> (KeyManagerFault, &'static str) {
    match deadline.has_passed() {
        true => (KeyManagerFault::DeadlinePassed, "no answer in time"),
        false => (KeyManagerFault::DeviceFailed, "its thread ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_not_blamed_for_a_job_that_was_dropped_as_too_late() {
        let late = Deadline::after(Duration::ZERO);
        assert_eq!(why_dropped(late).0, KeyManagerFault::DeadlinePassed);
        let in_time = Deadline::after(Duration::from_secs(60));
        assert_eq!(why_dropped(in_time).0, KeyManagerFault::DeviceFailed);
    }
}
