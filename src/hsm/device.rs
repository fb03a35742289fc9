//! [`Hsm`], the interface of this module.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock::Deadline;
use crate::ekm::{
    DecryptJob, DescribeJob, DeviceReport, EncryptJob, Encrypted, ExpectedKey, KeyAttributes,
    KeyManager, KeyManagerFault, KeySelector, KeyState, Opened, Pending,
};
use crate::hsm::events::{Event, EventSender};
use crate::hsm::launcher_client::Workers;
use crate::hsm::library_watch;
use crate::hsm::metrics::HsmMetrics;
use crate::hsm::queue::job::{Reply, Work};
use crate::hsm::state::HsmState;
use crate::hsm::supervisor::Supervisor;
use crate::hsm_protocol::HsmSettings;
use crate::sync::task;

/// An HSM of the configuration. Its settings may change while it serves, see [`Hsm::change`].
pub struct Hsm {
    state: Arc<HsmState>,
    metrics: HsmMetrics,
    supervisor: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Hsm {
    /// Starts the supervisor, which opens the HSM in the background. Does not wait for it. To be called on the runtime.
    pub fn start(settings: HsmSettings, workers: &Workers, metrics: &HsmMetrics) -> Arc<Self> {
        let (sender, events) = EventSender::new();
        let for_hsm = metrics.for_hsm(&settings.name);
        let state = Arc::new(HsmState::new(settings, for_hsm, sender));
        state.metrics.show(true);
        if let Err(error) = library_watch::start(Arc::downgrade(&state)) {
            let hsm = &state.name;
            tracing::error!(%hsm, %error, "cannot start the thread that watches the PKCS#11 library; a new library is used after a restart");
        }
        let supervisor = Supervisor::new(Arc::clone(&state), workers.clone(), events);
        Arc::new(Self {
            supervisor: Some(task("hsm-supervisor", supervisor.run())).into(),
            state,
            metrics: metrics.clone(),
        })
    }

    /// Replaces the list of expected keys. Workers prove them in the background.
    pub fn expect_keys(&self, keys: Vec<ExpectedKey>) {
        self.state.expected_keys.store(Arc::new(keys));
        self.state.event_sender().send(Event::KeysChanged);
    }

    /// Changes the settings in the background. A new worker opens the token with them, and takes over when it is usable. No request is
    /// delayed or lost. The name must not change.
    pub fn change(&self, settings: HsmSettings) {
        self.state
            .event_sender()
            .send(Event::Settings(Box::new(settings)));
    }

    /// Ends the workers. Takes at most a few seconds: a worker that hangs is killed.
    pub async fn stop(&self) {
        self.state.event_sender().send(Event::Stop);
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

    /// Removes the gauges of the HSM from the metrics. Called after its `[[hsm]]` was removed from the configuration.
    pub fn forget(&self) {
        self.state.metrics.show(false);
        self.metrics.forget(&self.state.name);
    }

    /// Returns whether the last attempt to open the HSM, or its last check, failed.
    pub fn has_failed(&self) -> bool {
        self.state.last_check.has_failed()
    }

    /// Returns whether it serves with older settings, because it could not be opened with the newest ones.
    pub fn rejects_settings(&self) -> bool {
        self.state.rejects_settings.load(Ordering::Relaxed)
    }

    /// Updates the gauges. To be called before metrics are read.
    pub fn publish_gauges(&self) {
        self.state.publish_gauges();
    }

    /// Queues the work for this key, unless a proof has rejected the key.
    fn submit_with_key<T: Send + 'static>(
        &self,
        key: &KeySelector,
        deadline: Deadline,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Pending<'_, T> {
        match self.state.rejection(key) {
            Some(error) => Box::pin(ready(Err(error))),
            None => self.submit(deadline, work),
        }
    }

    /// Queues the work and waits for its answer until the deadline.
    fn submit<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Pending<'_, T> {
        let (reply, answer) = oneshot::channel();
        self.state.submit(work(reply));
        Box::pin(async move {
            let error = |fault, detail: &'static str| Err(self.state.error(fault, detail));
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
        &self.state.name
    }

    fn is_usable(&self) -> bool {
        self.state.is_usable()
    }

    fn encrypt(&self, job: EncryptJob) -> Pending<'_, Encrypted> {
        let key = Arc::clone(&job.key);
        self.submit_with_key(&key, job.deadline, |reply| Work::Encrypt(job, reply))
    }

    fn decrypt(&self, job: DecryptJob) -> Pending<'_, Opened> {
        let key = Arc::clone(&job.key);
        self.submit_with_key(&key, job.deadline, |reply| Work::Decrypt(job, reply))
    }

    fn describe(&self, job: DescribeJob) -> Pending<'_, KeyAttributes> {
        let key = Arc::clone(&job.key);
        let described = self.submit(job.deadline, |reply| Work::Describe(job, reply));
        Box::pin(async move {
            let mut described = described.await?;
            if self.state.rejection(&key).is_some() {
                // The attributes permit operations that the HSM rejects.
                let usage = &mut described.value.usage;
                (usage.encrypt, usage.decrypt) = (false, false);
            }
            Ok(described)
        })
    }

    fn suspected_wait(&self) -> Duration {
        self.state.suspected_wait()
    }

    fn key_state(&self, key: &KeySelector) -> Option<KeyState> {
        self.state.key_state(key)
    }

    fn report(&self) -> DeviceReport {
        self.state.report()
    }
}

/// Why a job has no answer. The pool drops late jobs, sometimes before the timer of the caller expires.
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
    fn a_job_that_was_dropped_after_its_deadline_is_not_an_error_of_the_hsm() {
        let late = Deadline::after(Duration::ZERO);
        assert_eq!(why_dropped(late).0, KeyManagerFault::DeadlinePassed);
        let in_time = Deadline::after(Duration::from_secs(60));
        assert_eq!(why_dropped(in_time).0, KeyManagerFault::DeviceFailed);
    }
}
