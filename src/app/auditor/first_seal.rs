//! A seal from the first HSM that makes one.
//!
//! # Invariants
//! - An HSM that does not answer leaves the others at least half of the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::ekm::{EncryptJob, KeyManager, KeyManagerError, Sealed, Served};

type Answer = Result<Served<Sealed>, KeyManagerError>;

/// Asks one HSM after the other, each after the one before has failed or has not answered within its part of the first half of `patience`;
/// all of them may answer until the job's deadline. Returns the first seal, or why there is none.
pub(in crate::app) async fn first_seal(
    devices: Vec<Arc<dyn KeyManager>>,
    job: &EncryptJob,
    patience: Duration,
) -> Result<Served<Sealed>, String> {
    let (usable, others): (Vec<_>, Vec<_>) = devices.into_iter().partition(|hsm| hsm.is_usable());
    let not_usable = others
        .iter()
        .map(|hsm| format!("{} is not usable", hsm.name()));
    let mut reasons: Vec<String> = not_usable.collect();
    let parts = u32::try_from(usable.len()).unwrap_or(u32::MAX).max(1);
    let part = patience / 2 / parts;
    let (mut waiting, mut asked) = (usable.into_iter(), JoinSet::new());
    loop {
        if let Some(hsm) = waiting.next() {
            let job = job.clone();
            asked.spawn(async move { (Arc::clone(hsm.name()), hsm.encrypt(job).await) });
        }
        match next(&mut asked, part, waiting.len() > 0).await {
            Next::Answer(_, Ok(served)) => return Ok(served),
            Next::Answer(hsm, Err(error)) => reasons.push(format!("{hsm}: {error}")),
            Next::Failed(error) => reasons.push(error.to_string()),
            Next::Late => {}
            Next::None if reasons.is_empty() => return Err("there is no HSM".to_owned()),
            Next::None => return Err(reasons.join("; ")),
        }
    }
}

enum Next {
    Answer(Arc<str>, Answer),
    Failed(JoinError),
    /// Another HSM is to be asked.
    Late,
    /// None is asked any more.
    None,
}

async fn next(asked: &mut JoinSet<(Arc<str>, Answer)>, part: Duration, has_more: bool) -> Next {
    let answer = match has_more {
        true => match timeout(part, asked.join_next()).await {
            Ok(answer) => answer,
            Err(_) => return Next::Late,
        },
        false => asked.join_next().await,
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

    async fn sealed(hsms: &[&Arc<FakeKeyManager>]) -> Result<String, String> {
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
        assert_eq!(sealed(&[&slow, &slower, &quick]).await, Ok("c".to_owned()));
        // One that is only a little slow need not be repeated.
        slow.set_delay(100);
        assert_eq!(sealed(&[&slow, &quick]).await, Ok("a".to_owned()));
        assert_eq!(quick.encryptions(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_hsm_that_fails_is_followed_by_the_next_at_once() {
        let [broken, down, good] = ["a", "b", "c"].map(hsm);
        broken.fail_with(Some(KeyManagerFault::KeyAbsent));
        down.set_usable(false);
        assert_eq!(sealed(&[&broken, &down, &good]).await, Ok("c".to_owned()));
        let error = sealed(&[&broken, &down]).await.unwrap_err();
        assert!(error.starts_with("b is not usable; a: "), "{error}");
        assert_eq!(sealed(&[]).await.unwrap_err(), "there is no HSM");
    }
}
