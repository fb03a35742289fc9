//! The audit trail of the running proxy. It is opened at the start and records events of the proxy itself. The HSMs seal its checkpoints.
//!
//! # Invariants
//! - A seal is made with a key that is used for nothing else. It covers the head of the hash chain: no content of the audit trail reaches an HSM.

mod first_seal;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::devices::Devices;
use crate::audit::{
    AuditError, AuditMetrics, AuditSettings, Entry, OnFailure, Position, Seal, SealFuture, Sealer,
    SealerHandle, Security, Trail,
};
use crate::clock::Deadline;
use crate::config::Changes;
use crate::ekm::{CallCount, EncryptJob, Encrypted, KeyManager, KeySelector, Tenant, Uncounted};
use crate::hsm::StateChange;
use crate::secret::SecretBytes;
use first_seal::first_seal;

/// The tenant of seals in the weighted fair queue of an HSM.
const TENANT: &str = "audit";

/// The most changes that an entry names; the rest is counted, to bound the length of a line.
const MAX_NAMED: usize = 20;

/// The audit trail; does nothing until it is opened. Clones share the audit trail.
#[derive(Clone, Default)]
pub(super) struct Auditor(Arc<OnceLock<Open>>);

struct Open {
    trail: Trail,
    on_failure: OnFailure,
    /// How long a response waits for its entry to be written, in microseconds.
    patience: AtomicU64,
}

impl Auditor {
    /// Opens the audit trail: from now on all events are recorded. Must be called on the runtime.
    ///
    /// # Errors
    /// [`AuditError`] when the audit trail cannot be opened.
    pub(super) fn open(
        &self,
        settings: &AuditSettings,
        devices: &Arc<Devices>,
        metrics: AuditMetrics,
    ) -> Result<(), AuditError> {
        let sealer = settings.key.as_ref().map(|key| SealerHandle {
            sealer: Arc::new(DeviceSeal {
                devices: Arc::clone(devices),
                key: Arc::new(KeySelector::Label(key.clone())),
                patience: settings.checkpoint.seal_timeout,
            }),
            runtime: tokio::runtime::Handle::current(),
        });
        let trail = Trail::open(settings, sealer, metrics)?;
        let on_failure = settings.on_failure;
        // The audit trail is opened only once.
        drop(self.0.set(Open {
            trail,
            on_failure,
            patience: AtomicU64::new(u64::MAX),
        }));
        Ok(())
    }

    /// Returns the audit trail, if one is configured.
    pub(super) fn trail(&self) -> Option<Trail> {
        self.0.get().map(|open| open.trail.clone())
    }

    /// Sets how long a response waits for its entry to be written.
    pub(super) fn expect_within(&self, patience: Duration) {
        if let Some(open) = self.0.get() {
            let micros = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
            open.patience.store(micros, Ordering::Relaxed);
        }
    }

    /// Returns whether entries are written in time, and updates the metric.
    pub(super) fn is_healthy(&self) -> bool {
        self.0.get().is_none_or(|open| {
            let patience = Duration::from_micros(open.patience.load(Ordering::Relaxed));
            open.trail.is_healthy(patience)
        })
    }

    /// Returns whether requests are rejected because they cannot be recorded.
    pub(super) fn rejects_requests(&self) -> bool {
        let open = self.0.get();
        open.is_some_and(|open| open.on_failure == OnFailure::Refuse) && !self.is_healthy()
    }

    /// Reopens the file of the audit trail, after a log rotation has renamed it.
    pub(super) fn reopen(&self) {
        if let Some(open) = self.0.get() {
            open.trail.reopen();
        }
    }

    /// Writes pending entries and the end of the audit trail.
    pub(super) async fn stop(&self) {
        if let Some(open) = self.0.get() {
            open.trail.stop().await;
        }
    }

    fn note(&self, security: &Security<'_>) {
        if let Some(open) = self.0.get() {
            open.trail.note(Entry::security(security));
        }
    }

    /// Records a state change of an HSM.
    pub(super) fn note_state(&self, change: &StateChange<'_>) {
        self.note(&Security {
            event: "hsm_state",
            hsm: Some(change.hsm),
            state: Some(change.to),
            reason: Some((&*format!("was {}", change.from)).into()),
            ..Security::default()
        });
    }

    /// Records that a configuration with errors was rejected.
    pub(super) fn note_rejected_reload(&self, errors: usize) {
        self.note(&Security {
            event: "reload",
            state: Some("refused"),
            reason: Some(
                (&*format!("{errors} errors; the previous configuration stays active")).into(),
            ),
            ..Security::default()
        });
    }

    /// Records that the certificate in the files was rejected.
    pub(super) fn note_rejected_certificate(&self, reason: &str) {
        let reason = format!("certificate: {reason}; the previous one stays active");
        self.note(&Security {
            event: "reload",
            state: Some("refused"),
            reason: Some(reason.as_str().into()),
            ..Security::default()
        });
    }

    /// Records that a new configuration is active.
    pub(super) fn note_reload(&self, changes: &Changes) {
        let all = changes.applied.iter().chain(&changes.need_restart);
        let mut named: Vec<String> = all
            .clone()
            .take(MAX_NAMED)
            .map(ToString::to_string)
            .collect();
        let more = all.count().saturating_sub(MAX_NAMED);
        if more > 0 {
            named.push(format!("{more} more"));
        }
        self.note(&Security {
            event: "reload",
            state: Some("applied"),
            reason: Some((&*named.join(", ")).into()),
            ..Security::default()
        });
    }

    /// Records that the configuration has enabled or disabled a key store or a key.
    pub(super) fn note_key_state(&self, store: &str, place: &str, state: &str) {
        self.note(&Security {
            event: "kill_switch",
            key_store: Some(store),
            state: Some(state),
            reason: Some(place.into()),
            ..Security::default()
        });
    }
}

/// Seals with the first HSM that answers.
struct DeviceSeal {
    devices: Arc<Devices>,
    key: Arc<KeySelector>,
    patience: Duration,
}

impl Sealer for DeviceSeal {
    fn seal(&self, head: Position) -> SealFuture {
        let (devices, deadline) = (self.devices.all(), Deadline::after(self.patience));
        let job = EncryptJob {
            tenant: Arc::new(Tenant {
                name: TENANT.into(),
                share: 1,
            }),
            key: Arc::clone(&self.key),
            plaintext: Arc::new(SecretBytes::new(Vec::new())),
            aad: head.aad().into(),
            must_decrypt: true,
            digest: None,
            deadline,
            calls: CallCount::default(),
            encryptions: Arc::new(Uncounted),
        };
        let devices = devices.into_iter().map(|hsm| hsm as Arc<dyn KeyManager>);
        let (devices, patience) = (devices.collect(), self.patience);
        Box::pin(async move {
            let served = first_seal(devices, &job, patience).await?;
            Ok(seal_of_head(&served.device, &job.key, served.value))
        })
    }
}

fn seal_of_head(hsm: &str, key: &KeySelector, made: Encrypted) -> Seal {
    let Encrypted {
        iv,
        mut ciphertext,
        tag,
        digest: _,
    } = made;
    ciphertext.extend_from_slice(&tag);
    let key = match key {
        KeySelector::Label(label) => label.clone(),
        KeySelector::Id(_) => key.to_string(),
    };
    Seal {
        hsm: hsm.to_owned(),
        key,
        iv: iv.as_bytes().to_vec(),
        sealed: ciphertext,
    }
}
