//! [`Hsm`]: the device as the rest of the program sees it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::job::{Reply, Work};
use super::metrics::HsmMetrics;
use super::module::Modules;
use super::settings::HsmSettings;
use super::shared::Shared;
use super::supervisor::supervise;
use crate::clock::Deadline;
use crate::ekm::{
    DecryptJob, DeviceReport, EncryptJob, KeyAttributes, KeyManager, KeyManagerFault, KeySelector,
    Pending, Sealed,
};
use crate::secret::SecretBytes;

/// How often [`Hsm::stop`] looks whether the supervisor has ended.
const STOP_POLL: Duration = Duration::from_millis(5);

/// A PKCS#11 token with its supervisor and owner threads.
pub struct Hsm {
    shared: Arc<Shared>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Hsm {
    /// Starts the supervisor, which opens the device in the background; this call does not wait for it.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        settings: HsmSettings,
        modules: &Modules,
        metrics: &HsmMetrics,
    ) -> std::io::Result<Arc<Self>> {
        let device_metrics = metrics.of_device(&settings.name);
        let name = format!("hsm-{}-supervisor", settings.name);
        let shared = Arc::new(Shared::new(settings, device_metrics));
        let (for_thread, modules) = (Arc::clone(&shared), modules.clone());
        let supervisor = thread::Builder::new()
            .name(name)
            .spawn(move || supervise(&for_thread, &modules))?;
        Ok(Arc::new(Self {
            shared,
            supervisor: Mutex::new(Some(supervisor)),
        }))
    }

    /// Closes every session and ends the threads, within `patience`. Gives whether all of them ended: a thread that hangs
    /// inside the device cannot be ended, and then the library must not be finalized.
    pub fn stop(&self, patience: Duration) -> bool {
        self.shared.request_stop();
        let supervisor = self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
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

    /// Whether the last attempt to open the device, or its last check, has failed.
    pub fn has_failed(&self) -> bool {
        self.shared.has_failed()
    }

    /// Brings the gauges that follow the device up to date; called before metrics are read.
    pub fn publish_gauges(&self) {
        self.shared.publish_depth();
    }

    /// Queues the work and waits for its answer until the deadline.
    fn ask<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Pending<'_, T> {
        let (reply, answer) = oneshot::channel();
        self.shared.submit(work(reply));
        Box::pin(async move {
            let error = |fault, detail: &'static str| Err(self.shared.error(fault, detail));
            match tokio::time::timeout_at(deadline.instant().into(), answer).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => error(KeyManagerFault::DeviceFailed, "its thread ended"),
                Err(_) => error(KeyManagerFault::DeadlinePassed, "no answer in time"),
            }
        })
    }
}

impl KeyManager for Hsm {
    fn name(&self) -> &Arc<str> {
        &self.shared.settings.name
    }

    fn is_usable(&self) -> bool {
        self.shared.is_usable()
    }

    fn encrypt(&self, job: EncryptJob) -> Pending<'_, Sealed> {
        self.ask(job.deadline, |reply| Work::Encrypt(job, reply))
    }

    fn decrypt(&self, job: DecryptJob) -> Pending<'_, SecretBytes> {
        self.ask(job.deadline, |reply| Work::Decrypt(job, reply))
    }

    fn describe(&self, key: Arc<KeySelector>, deadline: Deadline) -> Pending<'_, KeyAttributes> {
        self.ask(deadline, |reply| Work::Describe(key, deadline, reply))
    }

    fn suspected_wait(&self) -> Duration {
        self.shared.suspected_wait()
    }

    fn report(&self) -> DeviceReport {
        self.shared.report()
    }
}
