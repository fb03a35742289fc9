//! The devices that serve one key store: all of them hold the same keys.
//!
//! A job goes to the usable device that is least loaded. If that device fails it, or takes longer than the hedge delay, the job is
//! tried once on another one, within its deadline; the first good answer counts. Encryption and decryption are safe to repeat.
//!
//! # Invariants
//! - A fault of the caller's is never tried elsewhere; a device's fault always, where there is another device.
//! - "No such key" is said only when every device has been asked that may hold it; else it would be a lie that KMS believes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntCounterVec;
use tokio::time::sleep;

use super::spaced::SpacedWarning;
use super::{
    DecryptJob, DescribeJob, DeviceReport, EncryptJob, KeyAttributes, KeyManager, KeyManagerError,
    KeyManagerFault, KeySelector, Opened, Pending, Sealed, Served,
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
                "Jobs that were tried on another HSM, by the HSM that they left and why (slow, failed, key_absent).",
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

    /// How many of these keys each device is known to lack; a device that is not open has no number.
    pub fn count_missing<'a>(
        &self,
        keys: impl Iterator<Item = &'a KeySelector> + Clone,
    ) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.devices.iter().filter_map(move |device| {
            let lacks = |key: &KeySelector| device.has_key(key).map(|has| usize::from(!has));
            let missing = keys.clone().map(lacks).sum::<Option<usize>>()?;
            Some((device.name(), missing))
        })
    }

    /// Encrypts on the best device, see the rules above.
    ///
    /// # Errors
    /// [`KeyManagerError`] of the device that could not, or of the second one.
    pub async fn encrypt(&self, job: EncryptJob) -> Outcome<Sealed> {
        self.run(|device| device.encrypt(job.clone())).await
    }

    /// Decrypts on the best device, see the rules above.
    ///
    /// # Errors
    /// As [`Fleet::encrypt`].
    pub async fn decrypt(&self, job: DecryptJob) -> Outcome<Opened> {
        self.run(|device| device.decrypt(job.clone())).await
    }

    /// Describes a key on the best device, see the rules above.
    ///
    /// # Errors
    /// As [`Fleet::encrypt`].
    pub async fn describe(&self, job: DescribeJob) -> Outcome<KeyAttributes> {
        self.run(|device| device.describe(job.clone())).await
    }

    async fn run<'a, T>(
        &'a self,
        start: impl Fn(&'a dyn KeyManager) -> Pending<'a, T>,
    ) -> Outcome<T> {
        let (first, second) = self.best_two();
        let Some(first) = first else {
            let nobody: Arc<str> = "none".into();
            let fault = KeyManagerFault::DeviceUnavailable;
            return Err(KeyManagerError::new(
                fault,
                &nobody,
                "the key store has no HSM",
            ));
        };
        let Some(second) = second else {
            return start(first).await.map_err(|error| self.honest(error, 1));
        };
        let mut running = start(first);
        let is_slow = tokio::select! {
            biased;
            outcome = &mut running => match outcome {
                Err(error) if is_worth_another_device(error.fault) => {
                    self.count(&error);
                    None
                }
                outcome => return outcome,
            },
            () = sleep(self.hedge_delay) => Some(running),
        };
        let outcome = match is_slow {
            None => start(second).await,
            Some(running) => {
                self.metrics
                    .second_tries
                    .with_label_values(&[&**first.name(), "slow"])
                    .inc();
                first_good(running, start(second)).await
            }
        };
        outcome.map_err(|error| self.honest(error, 2))
    }

    /// The usable device with the shortest wait, and the next best. Without a usable one the first, which says itself why not.
    fn best_two(&self) -> (Option<&dyn KeyManager>, Option<&dyn KeyManager>) {
        let (mut best, mut next): (Option<Candidate<'_>>, Option<Candidate<'_>>) = (None, None);
        for device in self.devices.iter().filter(|device| device.is_usable()) {
            let candidate = (device.suspected_wait(), device.as_ref());
            match best {
                Some(known) if known.0 <= candidate.0 => {
                    if next.is_none_or(|next| candidate.0 < next.0) {
                        next = Some(candidate);
                    }
                }
                known => (best, next) = (Some(candidate), known),
            }
        }
        let any = || self.devices.first().map(|device| device.as_ref());
        match best {
            Some(best) => (Some(best.1), next.map(|next| next.1)),
            None => (any(), None),
        }
    }

    fn count(&self, error: &KeyManagerError) {
        let why = match error.fault {
            KeyManagerFault::KeyAbsent | KeyManagerFault::KeyAmbiguous => "key_absent",
            _ => "failed",
        };
        self.metrics
            .second_tries
            .with_label_values(&[&*error.device, why])
            .inc();
        if why == "key_absent"
            && let Some(unlogged) = self.missing.next(Instant::now())
        {
            tracing::warn!(hsm = %error.device, error = %error.detail, unlogged, "key missing on this HSM; trying another HSM");
        }
    }

    /// Turns "no such key" into "unavailable" when a device that was not asked may hold the key.
    fn honest(&self, error: KeyManagerError, asked: usize) -> KeyManagerError {
        let is_absent = error.fault == KeyManagerFault::KeyAbsent;
        if !is_absent || asked >= self.devices.len() {
            return error;
        }
        KeyManagerError {
            fault: KeyManagerFault::DeviceUnavailable,
            detail: format!("{}, and not every HSM could be asked", error.detail).into(),
            ..error
        }
    }
}

/// A usable device with its wait.
type Candidate<'a> = (Duration, &'a dyn KeyManager);

/// Whether another device may do what this one could not.
fn is_worth_another_device(fault: KeyManagerFault) -> bool {
    match fault {
        KeyManagerFault::DeviceUnavailable
        | KeyManagerFault::DeviceFailed
        | KeyManagerFault::QueueFull
        | KeyManagerFault::KeyFailed
        | KeyManagerFault::KeyAbsent
        | KeyManagerFault::KeyAmbiguous => true,
        KeyManagerFault::CiphertextInvalid
        | KeyManagerFault::UsageNotPermitted
        | KeyManagerFault::KeyUnsuitable
        | KeyManagerFault::InputTooLong
        | KeyManagerFault::DeadlinePassed => false,
    }
}

/// The first answer that another device could not better; the other one's when this fails.
async fn first_good<T>(mut one: Pending<'_, T>, mut other: Pending<'_, T>) -> Outcome<T> {
    let (outcome, rest) = tokio::select! {
        outcome = &mut one => (outcome, other),
        outcome = &mut other => (outcome, one),
    };
    match outcome {
        Err(error) if is_worth_another_device(error.fault) => rest.await,
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests;
