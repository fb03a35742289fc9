//! The HSMs that serve one key store: all of them hold the same keys.
//!
//! A job goes to the usable HSM with the shortest wait, unless that HSM is known to lack the key. A second HSM gets the job when the first
//! one fails (failover), or takes longer than the hedge delay (hedged request). The first successful answer counts. Encryption and decryption
//! are safe to repeat.
//!
//! # Invariants
//! - An error that the client caused causes no failover. After a failure, at most one other HSM gets the job, however many there are: the
//!   errors of one key must not occupy every HSM.
//! - HSMs without the key do not count for that limit: the next HSM gets the job, until one has the key or none is left.
//! - "No such key" (or "more than one such key") is returned only when every HSM reported it, because it is final for KMS. If an HSM failed or
//!   was not usable, the error is retryable.

mod attempts;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntCounterVec;
use tokio::time::sleep;

use self::attempts::{Attempts, Candidate, Meaning, Rank, Reason};
use crate::ekm::{
    DecryptJob, DescribeJob, DeviceReport, EncryptJob, Encrypted, KeyAttributes, KeyCounts,
    KeyManager, KeyManagerError, KeyManagerFault, KeySelector, Opened, Pending, Served,
    SpacedWarning,
};
use crate::metrics::{Metrics, MetricsError};

/// The metrics of all fleets.
#[derive(Clone)]
pub struct FleetMetrics {
    attempts: IntCounterVec,
}

impl FleetMetrics {
    /// Declares the metrics.
    ///
    /// # Errors
    /// [`MetricsError`] when a name is taken.
    pub fn declare(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            attempts: metrics.counter(
                "xks_hsm_second_tries_total",
                "Jobs that were sent to another HSM as a hedged request or failover, by the first HSM and the reason (slow, failed, key_absent).",
                &["hsm", "why"],
            )?,
        })
    }
}

/// The HSMs of a key store, in the configured order, with the rules of failover.
#[derive(Clone)]
pub struct Fleet {
    devices: Vec<Arc<dyn KeyManager>>,
    hedge_delay: Duration,
    metrics: FleetMetrics,
    missing: Arc<SpacedWarning>,
}

type Outcome<T> = Result<Served<T>, KeyManagerError>;

impl Fleet {
    /// Creates the fleet. The configuration guarantees that `devices` is not empty.
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

    /// Returns the result of the last check of each HSM, in the configured order.
    pub fn reports(&self) -> Vec<DeviceReport> {
        self.devices.iter().map(|device| device.report()).collect()
    }

    /// Returns the number of HSMs, and the number of usable HSMs.
    pub fn count_usable(&self) -> (usize, usize) {
        let usable = self.devices.iter().filter(|device| device.is_usable());
        (self.devices.len(), usable.count())
    }

    /// Counts, for each HSM that is open, the keys that are missing or unusable on it. `keys` has each key with whether it must encrypt. Does not
    /// call the HSMs.
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

    /// Encrypts, by the rules of this module.
    ///
    /// # Errors
    /// [`KeyManagerError`] of the last HSM that failed. If none failed, that of an HSM without the key.
    pub async fn encrypt(&self, job: EncryptJob) -> Outcome<Encrypted> {
        self.run(&job.key, |device| device.encrypt(job.clone()))
            .await
    }

    /// Decrypts, by the rules of this module.
    ///
    /// # Errors
    /// As [`Fleet::encrypt`].
    pub async fn decrypt(&self, job: DecryptJob) -> Outcome<Opened> {
        self.run(&job.key, |device| device.decrypt(job.clone()))
            .await
    }

    /// Describes a key, by the rules of this module.
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

    /// Returns all HSMs in the order in which they get the job.
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

    /// Counts a hedged request or failover attempt after `device`.
    fn count_as(&self, device: &dyn KeyManager, why: &str) {
        self.metrics
            .attempts
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
    let name: Arc<str> = "none".into();
    let fault = KeyManagerFault::DeviceUnavailable;
    KeyManagerError::new(fault, &name, "the key store has no HSM")
}

#[cfg(test)]
mod tests;
