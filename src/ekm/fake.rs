//! A fake key manager for unit tests: it encrypts by XOR, authenticates by SHA-256, and fails on command.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::*;

/// Returns a tenant.
pub fn tenant() -> Arc<Tenant> {
    Arc::new(Tenant {
        name: "tenant".into(),
        share: 1,
    })
}

/// A fake key manager. [`FakeKeyManager::add_key`] adds keys.
pub struct FakeKeyManager {
    name: Arc<str>,
    usable: AtomicBool,
    /// The duration of every answer, in milliseconds.
    delay: AtomicU32,
    keys: Mutex<HashMap<KeySelector, KeyAttributes>>,
    failure: Mutex<Option<KeyManagerFault>>,
    counter: AtomicU32,
    asked: AtomicU32,
    /// The reported key state instead of the real one: `Some(None)` is unknown.
    knowledge: Mutex<Option<Option<bool>>>,
}

impl FakeKeyManager {
    /// Creates a usable fake without keys.
    pub fn named(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            usable: AtomicBool::new(true),
            delay: AtomicU32::new(0),
            keys: Mutex::default(),
            failure: Mutex::default(),
            counter: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            knowledge: Mutex::default(),
        })
    }

    /// Adds an AES key of `bits` bits.
    pub fn add_key(&self, label: &str, bits: u32, usage: KeyUsageFlags) {
        let attributes = KeyAttributes {
            kind: KeyKind::Aes(bits),
            usage,
        };
        self.keys
            .lock()
            .unwrap()
            .insert(KeySelector::Label(label.into()), attributes);
    }

    /// Sets whether it reports that it is usable.
    pub fn set_usable(&self, usable: bool) {
        self.usable.store(usable, Ordering::SeqCst);
    }

    /// Sets the duration of every answer.
    pub fn set_delay(&self, milliseconds: u32) {
        self.delay.store(milliseconds, Ordering::SeqCst);
    }

    /// Makes every job fail with this error; none to succeed again.
    pub fn fail_with(&self, fault: Option<KeyManagerFault>) {
        *self.failure.lock().unwrap() = fault;
    }

    /// Sets the reported state of every key; none for unknown.
    pub fn believe(&self, has_key: Option<bool>) {
        *self.knowledge.lock().unwrap() = Some(has_key);
    }

    /// Returns the number of jobs that it got.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Returns the number of encryptions.
    pub fn encryptions(&self) -> u32 {
        self.counter.load(Ordering::SeqCst)
    }

    fn key(&self, key: &KeySelector) -> Result<KeyAttributes, KeyManagerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(fault) = *self.failure.lock().unwrap() {
            return Err(self.error(fault));
        }
        if !self.is_usable() {
            return Err(self.error(KeyManagerFault::DeviceUnavailable));
        }
        let keys = self.keys.lock().unwrap();
        keys.get(key)
            .cloned()
            .ok_or_else(|| self.error(KeyManagerFault::KeyAbsent))
    }

    fn usable_key(
        &self,
        key: &KeySelector,
        allowed: impl Fn(&KeyUsageFlags) -> bool,
    ) -> Result<(), KeyManagerError> {
        let key = self.key(key)?;
        if key.kind != KeyKind::Aes(256) {
            return Err(self.error(KeyManagerFault::KeyUnsuitable));
        }
        match allowed(&key.usage) {
            true => Ok(()),
            false => Err(self.error(KeyManagerFault::UsageNotPermitted)),
        }
    }

    fn error(&self, fault: KeyManagerFault) -> KeyManagerError {
        KeyManagerError::new(fault, &self.name, "fake")
    }

    fn served<'a, T: Send + 'a>(&'a self, value: Result<T, KeyManagerError>) -> Pending<'a, T> {
        let device = Arc::clone(&self.name);
        let delay = self.delay.load(Ordering::SeqCst);
        Box::pin(async move {
            if delay > 0 {
                tokio::time::sleep(Duration::from_millis(delay.into())).await;
            }
            let (queued, worked) = (Duration::ZERO, Duration::ZERO);
            value.map(|value| Served {
                value,
                device,
                queued,
                worked,
            })
        })
    }

    fn seal(&self, job: &EncryptJob) -> Result<Encrypted, KeyManagerError> {
        self.usable_key(&job.key, |u| u.encrypt && (u.decrypt || !job.must_decrypt))?;
        let mut iv = [7; 12];
        iv[0] = self.counter.fetch_add(1, Ordering::SeqCst) as u8;
        job.encryptions.count();
        let ciphertext: Vec<u8> = job.plaintext.expose().iter().map(|b| b ^ 0x55).collect();
        let tag = tag(&job.key, &iv, &ciphertext, &job.aad);
        let encrypted = Encrypted {
            iv: Iv::new(&iv).unwrap(),
            ciphertext,
            tag,
            digest: None,
        };
        let compute = |digest: &super::Digest| {
            digest.of(&encrypted.iv, &encrypted.ciphertext, &encrypted.tag)
        };
        let digest = job.digest.as_ref().map(compute);
        Ok(Encrypted {
            digest,
            ..encrypted
        })
    }

    fn open(&self, job: &DecryptJob) -> Result<Opened, KeyManagerError> {
        self.usable_key(&job.key, |u| u.decrypt)?;
        let (ciphertext, received) = job.ciphertext_and_tag.split_last_chunk().unwrap();
        let is_bound_to =
            |aad: &[u8]| tag(&job.key, job.iv.as_bytes(), ciphertext, aad) == *received;
        let by_or_aad = match (is_bound_to(&job.aad), &job.or_aad) {
            (true, _) => false,
            (false, Some(aad)) if is_bound_to(aad) => true,
            (false, _) => return Err(self.error(KeyManagerFault::CiphertextInvalid)),
        };
        let plaintext: Vec<u8> = ciphertext.iter().map(|b| b ^ 0x55).collect();
        Ok(Opened {
            plaintext: plaintext.into(),
            by_or_aad,
        })
    }
}

fn tag(key: &KeySelector, iv: &[u8], ciphertext: &[u8], aad: &[u8]) -> [u8; TAG_LENGTH] {
    let mut hash = Sha256::new();
    for part in [key.to_string().as_bytes(), iv, ciphertext, aad] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[..TAG_LENGTH].try_into().unwrap()
}

impl KeyManager for FakeKeyManager {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn is_usable(&self) -> bool {
        self.usable.load(Ordering::SeqCst)
    }

    fn suspected_wait(&self) -> Duration {
        Duration::ZERO
    }

    fn encrypt(&self, job: EncryptJob) -> Pending<'_, Encrypted> {
        self.served(self.seal(&job))
    }

    fn decrypt(&self, job: DecryptJob) -> Pending<'_, Opened> {
        self.served(self.open(&job))
    }

    fn describe(&self, job: DescribeJob) -> Pending<'_, KeyAttributes> {
        self.served(self.key(&job.key))
    }

    fn key_state(&self, key: &KeySelector) -> Option<KeyState> {
        let present = KeyState::Present {
            encrypts: true,
            decrypts: true,
            is_duplicated: false,
        };
        if let Some(knowledge) = *self.knowledge.lock().unwrap() {
            return knowledge.map(|has_key| if has_key { present } else { KeyState::Missing });
        }
        let keys = self.keys.lock().unwrap();
        Some(match keys.get(key) {
            None => KeyState::Missing,
            Some(KeyAttributes { usage, .. }) => KeyState::Present {
                encrypts: usage.encrypt,
                decrypts: usage.decrypt,
                is_duplicated: false,
            },
        })
    }

    fn report(&self) -> DeviceReport {
        let condition = if self.is_usable() {
            Condition::Healthy
        } else {
            Condition::Down
        };
        DeviceReport {
            name: Arc::clone(&self.name),
            vendor: "fake".into(),
            model: "fake 1".into(),
            condition,
        }
    }
}
