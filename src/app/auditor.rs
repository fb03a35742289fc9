//! The audit trail of the running proxy: opened at the start, told what happens to the proxy itself, vouched for by the HSMs.
//!
//! # Invariants
//! - A seal is made by a key that does nothing else, over the chain's head: the trail's content never reaches a device.

mod first_seal;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::devices::Devices;
use crate::audit::{
    AuditError, AuditMetrics, AuditSettings, Entry, OnFailure, Position, Seal, SealedHead, Sealer,
    Sealing, Security, Trail,
};
use crate::clock::Deadline;
use crate::config::Changes;
use crate::ekm::{CallCount, EncryptJob, KeyManager, KeySelector, Sealed, Tenant, Uncounted};
use crate::hsm::StateChange;
use crate::secret::SecretBytes;
use first_seal::first_seal;

/// The turn of the trail among the tenants of an HSM.
const TENANT: &str = "audit";

/// More changes than these are counted, not named: a line stays a line.
const MAX_NAMED: usize = 20;

/// The trail, once there is one. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Auditor(Arc<OnceLock<Open>>);

struct Open {
    trail: Trail,
    on_failure: OnFailure,
    /// How long an answer waits for its line, in microseconds.
    patience: AtomicU64,
}

impl Auditor {
    /// Opens the trail; from here on everything that is noted is recorded. To be called on the runtime.
    pub(super) fn open(
        &self,
        settings: &AuditSettings,
        devices: &Arc<Devices>,
        metrics: AuditMetrics,
    ) -> Result<(), AuditError> {
        let sealer = settings.key.as_ref().map(|key| Sealer {
            seal: Arc::new(DeviceSeal {
                devices: Arc::clone(devices),
                key: Arc::new(KeySelector::Label(key.clone())),
                patience: settings.checkpoint.seal_timeout,
            }),
            runtime: tokio::runtime::Handle::current(),
        });
        let trail = Trail::open(settings, sealer, metrics)?;
        let on_failure = settings.on_failure;
        // It is opened once.
        drop(self.0.set(Open {
            trail,
            on_failure,
            patience: AtomicU64::new(u64::MAX),
        }));
        Ok(())
    }

    /// The trail, if there is one.
    pub(super) fn trail(&self) -> Option<Trail> {
        self.0.get().map(|open| open.trail.clone())
    }

    /// From now on a line that takes longer than this is too late for its request.
    pub(super) fn expect_within(&self, patience: Duration) {
        if let Some(open) = self.0.get() {
            let micros = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
            open.patience.store(micros, Ordering::Relaxed);
        }
    }

    /// Whether lines are written in time; the metric shows it.
    pub(super) fn is_healthy(&self) -> bool {
        self.0.get().is_none_or(|open| {
            let patience = Duration::from_micros(open.patience.load(Ordering::Relaxed));
            open.trail.is_healthy(patience)
        })
    }

    /// Whether requests would be refused because they cannot be recorded.
    pub(super) fn refuses(&self) -> bool {
        let open = self.0.get();
        open.is_some_and(|open| open.on_failure == OnFailure::Refuse) && !self.is_healthy()
    }

    /// Goes on in the file that has the trail's name now.
    pub(super) fn reopen(&self) {
        if let Some(open) = self.0.get() {
            open.trail.reopen();
        }
    }

    /// Writes what waits and the end.
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

    /// An HSM has come or gone.
    pub(super) fn note_state(&self, change: &StateChange<'_>) {
        self.note(&Security {
            event: "hsm_state",
            hsm: Some(change.hsm),
            state: Some(change.to),
            reason: Some((&*format!("was {}", change.from)).into()),
            ..Security::default()
        });
    }

    /// A configuration was read that has faults.
    pub(super) fn note_refused_reload(&self, faults: usize) {
        self.note(&Security {
            event: "reload",
            state: Some("refused"),
            reason: Some((&*format!("{faults} faults; the one before stays in force")).into()),
            ..Security::default()
        });
    }

    /// The certificate in the files was refused.
    pub(super) fn note_refused_certificate(&self, reason: &str) {
        let reason = format!("certificate: {reason}; the previous one stays active");
        self.note(&Security {
            event: "reload",
            state: Some("refused"),
            reason: Some(reason.as_str().into()),
            ..Security::default()
        });
    }

    /// A new configuration is in force.
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

    /// A key store or a key was switched by its owner.
    pub(super) fn note_switch(&self, store: &str, place: &str, to: &str) {
        self.note(&Security {
            event: "kill_switch",
            key_store: Some(store),
            state: Some(to),
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

impl Seal for DeviceSeal {
    fn seal(&self, head: Position) -> Sealing {
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
            Ok(sealed_head(&served.device, &job.key, served.value))
        })
    }
}

fn sealed_head(hsm: &str, key: &KeySelector, made: Sealed) -> SealedHead {
    let Sealed {
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
    SealedHead {
        hsm: hsm.to_owned(),
        key,
        iv,
        sealed: ciphertext,
    }
}
