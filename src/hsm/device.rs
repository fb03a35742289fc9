//! [`Hsm`]: the HSM as the rest of the program sees it.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::job::{Reply, Work};
use super::library_watch;
use super::metrics::HsmMetrics;
use super::post::{Event, Post};
use super::shared::Shared;
use super::supervisor::Supervisor;
use super::workers::Workers;
use crate::clock::Deadline;
use crate::ekm::{
    DecryptJob, DescribeJob, DeviceReport, EncryptJob, ExpectedKey, KeyAttributes, KeyManager,
    KeyManagerFault, KeySelector, KeyState, Opened, Pending, Sealed,
};
use crate::hsm_protocol::HsmSettings;
use crate::sync::task;

/// A PKCS#11 token under its name in the configuration. Its settings may change while it serves, see [`Hsm::change`].
pub struct Hsm {
    shared: Arc<Shared>,
    metrics: HsmMetrics,
    supervisor: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Hsm {
    /// Starts the HSM, which a worker opens in the background; this call does not wait for it. To be called on the runtime.
    pub fn start(settings: HsmSettings, workers: &Workers, metrics: &HsmMetrics) -> Arc<Self> {
        let (post, events) = Post::new();
        let of_device = metrics.of_device(&settings.name);
        let shared = Arc::new(Shared::new(settings, of_device, post));
        shared.metrics.show(true);
        if let Err(error) = library_watch::start(Arc::downgrade(&shared)) {
            let hsm = &shared.name;
            tracing::error!(%hsm, %error, "no thread: a new PKCS#11 library is not noticed");
        }
        let supervisor = Supervisor::new(Arc::clone(&shared), workers.clone(), events);
        Arc::new(Self {
            supervisor: Some(task("hsm-supervisor", supervisor.run())).into(),
            shared,
            metrics: metrics.clone(),
        })
    }

    /// Expects these keys on the HSM, and no others: they are proved in the background.
    pub fn expect_keys(&self, keys: Vec<ExpectedKey>) {
        self.shared.expected_keys.store(Arc::new(keys));
        self.shared.post().tell(Event::KeysChanged);
    }

    /// Gives the HSM other settings, in the background. A worker opens the token with them and takes over when it is usable. No request
    /// waits for any of this, and none is lost. The name stays.
    pub fn change(&self, settings: HsmSettings) {
        self.shared.post().tell(Event::Settings(Box::new(settings)));
    }

    /// Ends the workers. It takes a few seconds at most; a worker that hangs is killed.
    pub async fn stop(&self) {
        self.shared.post().tell(Event::Stop);
        let supervisor = self
            .supervisor
            .lock()
            .unwrap_or_else(crate::sync::poisoned)
            .take();
        if let Some(supervisor) = supervisor {
            // A supervisor that panicked has ended the process.
            drop(supervisor.await);
        }
    }

    /// Takes what `/metrics` says of the HSM at the moment away: it is no longer configured.
    pub fn forget(&self) {
        self.shared.metrics.show(false);
        self.metrics.forget(&self.shared.name);
    }

    /// Whether the last attempt to open the HSM, or its last check, has failed.
    pub fn has_failed(&self) -> bool {
        self.shared.last_check.has_failed()
    }

    /// Whether it serves with older settings, because it did not open with those that it was given last.
    pub fn rejects_settings(&self) -> bool {
        self.shared.rejects_settings.load(Ordering::Relaxed)
    }

    /// Brings the gauges that follow the HSM up to date; called before metrics are read.
    pub fn publish_gauges(&self) {
        self.shared.publish_gauges();
    }

    /// Queues the work for this key, unless a proof has rejected the key.
    fn ask_with_key<T: Send + 'static>(
        &self,
        key: &KeySelector,
        deadline: Deadline,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Pending<'_, T> {
        match self.shared.rejection(key) {
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
        self.shared.submit(work(reply));
        Box::pin(async move {
            let error = |fault, detail: &'static str| Err(self.shared.error(fault, detail));
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
        &self.shared.name
    }

    fn is_usable(&self) -> bool {
        self.shared.is_usable()
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
            if self.shared.rejection(&key).is_some() {
                // What the attributes permit, the HSM does not do.
                let usage = &mut described.value.usage;
                (usage.encrypt, usage.decrypt) = (false, false);
            }
            Ok(described)
        })
    }

    fn suspected_wait(&self) -> Duration {
        self.shared.suspected_wait()
    }

    fn key_state(&self, key: &KeySelector) -> Option<KeyState> {
        self.shared.key_state(key)
    }

    fn report(&self) -> DeviceReport {
        self.shared.report()
    }
}

/// Why a job went without an answer. The pool drops what is too late, and may notice that before the timer of the one who waits does.
fn why_dropped(deadline: Deadline) -> (KeyManagerFault, &'static str) {
    match deadline.has_passed() {
        true => (KeyManagerFault::DeadlinePassed, "no answer in time"),
        false => (KeyManagerFault::DeviceFailed, "its worker ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hsm_is_not_blamed_for_a_job_that_was_dropped_as_too_late() {
        let late = Deadline::after(Duration::ZERO);
        assert_eq!(why_dropped(late).0, KeyManagerFault::DeadlinePassed);
        let in_time = Deadline::after(Duration::from_secs(60));
        assert_eq!(why_dropped(in_time).0, KeyManagerFault::DeviceFailed);
    }
}
