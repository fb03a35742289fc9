//! The HSMs that serve one key store: all of them hold the same keys.
//!
//! A job goes to the usable HSM with the shortest wait that is not known to lack the key. A second HSM is asked when the first one fails, or
//! when it takes longer than the hedge delay; the first good answer counts. Encryption and decryption are safe to repeat.
//!
//! # Invariants
//! - An error of the caller's is never tried elsewhere. A failure is tried on one other HSM at most, however many there are: the errors of one
//!   key must not occupy every HSM.
//! - An HSM without the key does not count: the next one is asked, until one has it or none is left.
//! - "No such key" (or "more than one such key") is returned only when every HSM said so. It is final for KMS; if an HSM failed or could not
//!   be asked, the error is a retryable one.

mod attempts;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntCounterVec;
use tokio::time::sleep;

use self::attempts::{Attempts, Candidate, Meaning, Rank, Reason};
use crate::ekm::{
    DecryptJob, DescribeJob, DeviceReport, EncryptJob, KeyAttributes, KeyCounts, KeyManager,
    KeyManagerError, KeyManagerFault, KeySelector, Opened, Pending, Sealed, Served, SpacedWarning,
};
use crate::metrics::{Metrics, MetricsError};

/// The metrics of all fleets.
#[derive(Clone)]
pub struct FleetMetrics {
    second_tries: IntCounterVec,
}

impl FleetMetrics {
    /// Declares them.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is taken.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            second_tries: metrics.counter(
                "xks_hsm_second_tries_total",
                "Jobs that were sent to another HSM as a hedged request or failover, by the first HSM and the reason (slow, failed, key_absent).",
                &["hsm", "why"],
            )?,
        })
    }
}

/// Devices in order of preference among equals, with the rules of fail-over.
#[derive(Clone)]
pub struct Fleet {
    devices: Vec<Arc<dyn KeyManager>>,
    hedge_delay: Duration,
    metrics: FleetMetrics,
    missing: Arc<SpacedWarning>,
}

type Outcome<T> = Result<Served<T>, KeyManagerError>;

impl Fleet {
    /// The fleet. It is never empty: the configuration has seen to that.
    pub fn new(
        devices: Vec<Arc<dyn KeyManager>>,
        hedge_delay: Duration,
        metrics: FleetMetrics,
    ) -> Self {
        Self {
            devices,
            hedge_delay,
            metrics,
            missing: Arc::default(),
        }
    }

    /// What each device's last check found, in order.
    pub fn reports(&self) -> Vec<DeviceReport> {
        self.devices.iter().map(|device| device.report()).collect()
    }

    /// How many devices there are, and how many of them are usable.
    pub fn count_usable(&self) -> (usize, usize) {
        let usable = self.devices.iter().filter(|device| device.is_usable());
        (self.devices.len(), usable.count())
    }

    /// How many of these keys are not as they should be on each device, by what the device knows; a device that is not open is left out.
    /// With each key comes whether it must encrypt.
    pub fn count_keys<'a>(
        &self,
        keys: impl Iterator<Item = (&'a KeySelector, bool)> + Clone,
    ) -> impl Iterator<Item = (&Arc<str>, KeyCounts)> {
        self.devices.iter().filter_map(move |device| {
            let mut counts = KeyCounts::default();
            for (key, must_encrypt) in keys.clone() {
                counts.add(device.key_state(key)?, must_encrypt);
            }
            Some((device.name(), counts))
        })
    }

    /// Encrypts on the best HSM, see the rules above.
    ///
    /// # Errors
    /// [`KeyManagerError`] of the last HSM that failed; without a failure, of one that lacks the key.
    pub async fn encrypt(&self, job: EncryptJob) -> Outcome<Sealed> {
        self.run(&job.key, |device| device.encrypt(job.clone()))
            .await
    }

    /// Decrypts on the best device, see the rules above.
    ///
    /// # Errors
    /// As [`Fleet::encrypt`].
    pub async fn decrypt(&self, job: DecryptJob) -> Outcome<Opened> {
        self.run(&job.key, |device| device.decrypt(job.clone()))
            .await
    }

    /// Describes a key on the best device, see the rules above.
    ///
    /// # Errors
    /// As [`Fleet::encrypt`].
    pub async fn describe(&self, job: DescribeJob) -> Outcome<KeyAttributes> {
        self.run(&job.key, |device| device.describe(job.clone()))
            .await
    }

    async fn run<'a, T>(
        &'a self,
        key: &KeySelector,
        start: impl Fn(&'a dyn KeyManager) -> Pending<'a, T>,
    ) -> Outcome<T> {
        if let [only] = self.devices.as_slice() {
            return start(&**only).await;
        }
        let leave = |device, reason: Reason<'_>| self.count(device, reason);
        let attempts = Attempts::start(self.candidates(key), start, leave);
        let mut attempts = attempts.ok_or_else(no_hsm)?;
        let mut hedge = pin!(sleep(self.hedge_delay));
        loop {
            tokio::select! {
                biased;
                (device, outcome) = attempts.next() => {
                    if let Some(outcome) = attempts.conclude(device, outcome) {
                        return outcome;
                    }
                }
                () = &mut hedge, if attempts.may_hedge() => attempts.hedge(),
            }
        }
    }

    /// Every HSM in the order in which it is asked for the key.
    fn candidates(&self, key: &KeySelector) -> Vec<Candidate<&dyn KeyManager>> {
        let devices = self.devices.iter().map(|device| &**device);
        let mut candidates: Vec<_> = devices.map(|device| candidate(device, key)).collect();
        candidates.sort_by_key(|candidate| (candidate.rank, candidate.wait));
        candidates
    }

    fn count(&self, device: &dyn KeyManager, reason: Reason<'_>) {
        let error = match reason {
            Reason::Slow => return self.count_as(device, "slow"),
            Reason::Error(error) => error,
        };
        if Meaning::of(error.fault) != Meaning::Missing {
            return self.count_as(device, "failed");
        }
        self.count_as(device, "key_absent");
        if let Some(unlogged) = self.missing.next(Instant::now()) {
            tracing::warn!(hsm = %error.device, error = %error.detail, unlogged, "key missing on this HSM; trying another HSM");
        }
    }

    /// Counts that a job which left `device` is tried on another one.
    fn count_as(&self, device: &dyn KeyManager, why: &str) {
        self.metrics
            .second_tries
            .with_label_values(&[&**device.name(), why])
            .inc();
    }
}

fn candidate<'a>(device: &'a dyn KeyManager, key: &KeySelector) -> Candidate<&'a dyn KeyManager> {
    let (rank, wait) = match (device.is_usable(), device.key_state(key)) {
        (false, _) => (Rank::Unusable, Duration::ZERO),
        (true, Some(state)) if !state.is_of_use() => (Rank::Lacking, Duration::ZERO),
        (true, _) => (Rank::Able, device.suspected_wait()),
    };
    Candidate { rank, wait, device }
}

fn no_hsm() -> KeyManagerError {
    let nobody: Arc<str> = "none".into();
    let fault = KeyManagerFault::DeviceUnavailable;
    KeyManagerError::new(fault, &nobody, "the key store has no HSM")
}

#[cfg(test)]
mod tests;
