//! Requests the HSM signature of a checkpoint ("seal") from one HSM after the other.
//!
//! # Invariants
//! - HSMs that do not answer use up at most half of the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::ekm::{EncryptJob, Encrypted, KeyManager, KeyManagerError, Served};

type Answer = Result<Served<Encrypted>, KeyManagerError>;

/// Sends the job to the usable HSMs, one after the other, and returns the first seal. The next HSM gets the job when an HSM fails, or does
/// not answer within its part of the first half of `patience`. All HSMs may answer until the job's deadline.
///
/// # Errors
/// The reasons of all HSMs.
pub(in crate::app) async fn first_seal(
    devices: Vec<Arc<dyn KeyManager>>,
    job: &EncryptJob,
    patience: Duration,
) -> Result<Served<Encrypted>, String> {
    let (usable, others): (Vec<_>, Vec<_>) = devices.into_iter().partition(|hsm| hsm.is_usable());
    let not_usable = others
        .iter()
        .map(|hsm| format!("{} is not usable", hsm.name()));
    let mut reasons: Vec<String> = not_usable.collect();
    let parts = u32::try_from(usable.len()).unwrap_or(u32::MAX).max(1);
    let part = patience / 2 / parts;
    let (mut waiting, mut running) = (usable.into_iter(), JoinSet::new());
    loop {
        if let Some(hsm) = waiting.next() {
            let job = job.clone();
            running.spawn(async move { (Arc::clone(hsm.name()), hsm.encrypt(job).await) });
        }
        match next(&mut running, part, waiting.len() > 0).await {
            Next::Answer(_, Ok(served)) => return Ok(served),
            Next::Answer(hsm, Err(error)) => reasons.push(format!("{hsm}: {error}")),
            Next::Failed(error) => reasons.push(error.to_string()),
            Next::Late => {}
            Next::None if reasons.is_empty() => return Err("no HSM is configured".to_owned()),
            Next::None => return Err(reasons.join("; ")),
        }
    }
}

enum Next {
    Answer(Arc<str>, Answer),
    Failed(JoinError),
    /// No answer in time: the next HSM gets the job.
    Late,
    /// All HSMs have answered.
    None,
}

async fn next(running: &mut JoinSet<(Arc<str>, Answer)>, part: Duration, has_more: bool) -> Next {
    let answer = match has_more {
        true => match timeout(part, running.join_next()).await {
            Ok(answer) => answer,
            Err(_) => return Next::Late,
        },
        false => running.join_next().await,
    };
    match answer {
        Some(Ok((hsm, answer))) => Next::Answer(hsm, answer),
        Some(Err(error)) => Next::Failed(error),
        None => Next::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Deadline;
    use crate::ekm::fake::{FakeKeyManager, tenant};
    use crate::ekm::{KeyManagerFault, KeySelector, KeyUsageFlags};
    use crate::secret::SecretBytes;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn job() -> EncryptJob {
        EncryptJob {
            tenant: tenant(),
            key: Arc::new(KeySelector::Label("audit".to_owned())),
            plaintext: Arc::new(SecretBytes::new(Vec::new())),
            aad: b"head".as_slice().into(),
            must_decrypt: true,
            digest: None,
            deadline: Deadline::after(PATIENCE),
            calls: crate::ekm::CallCount::default(),
            encryptions: Arc::new(crate::ekm::Uncounted),
        }
    }

    fn hsm(name: &str) -> Arc<FakeKeyManager> {
        let hsm = FakeKeyManager::named(name);
        let usage = KeyUsageFlags {
            encrypt: true,
            decrypt: true,
            ..KeyUsageFlags::default()
        };
        hsm.add_key("audit", 256, usage);
        hsm
    }

    async fn sealing_hsm(hsms: &[&Arc<FakeKeyManager>]) -> Result<String, String> {
        let all = hsms
            .iter()
            .map(|hsm| Arc::clone(hsm) as Arc<dyn KeyManager>);
        let served = first_seal(all.collect(), &job(), PATIENCE).await;
        served.map(|served| served.device.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_hsm_leaves_time_to_the_others() {
        let [slow, slower, quick] = ["a", "b", "c"].map(hsm);
        slow.set_delay(60_000);
        slower.set_delay(60_000);
        assert_eq!(
            sealing_hsm(&[&slow, &slower, &quick]).await,
            Ok("c".to_owned())
        );
        // A short delay does not send the job to the next HSM.
        slow.set_delay(100);
        assert_eq!(sealing_hsm(&[&slow, &quick]).await, Ok("a".to_owned()));
        assert_eq!(quick.encryptions(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_hsm_gets_the_job_at_once_after_a_failure() {
        let [broken, down, good] = ["a", "b", "c"].map(hsm);
        broken.fail_with(Some(KeyManagerFault::KeyAbsent));
        down.set_usable(false);
        assert_eq!(
            sealing_hsm(&[&broken, &down, &good]).await,
            Ok("c".to_owned())
        );
        let error = sealing_hsm(&[&broken, &down]).await.unwrap_err();
        assert!(error.starts_with("b is not usable; a: "), "{error}");
        assert_eq!(sealing_hsm(&[]).await.unwrap_err(), "no HSM is configured");
    }
}
