//! The credentials of a key store (XKS API, "Authentication": at least two at a time, so that they can be rotated).

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::sync::poisoned;

/// The number of derived keys that a credential keeps: those of yesterday, today and tomorrow, because clocks differ around midnight.
const CACHED_KEYS: usize = 3;

/// The problem of a credential, as a text for the operator. It never contains the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// The access key id is malformed.
    #[error("an access key id has 20 to 30 characters of A-Z and 2-7")]
    AccessKeyId,
    /// The secret is malformed.
    #[error("a secret access key has 43 to 64 characters of A-Z, a-z, 0-9, '/', '+' and '='")]
    Secret,
}

/// An access key id: 20 to 30 characters of `[A-Z2-7]`. Not a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccessKeyId(Arc<str>);

impl AccessKeyId {
    /// Parses an id.
    ///
    /// # Errors
    /// [`CredentialError::AccessKeyId`] when `text` is not an access key id.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let is_legal = |b: u8| matches!(b, b'A'..=b'Z' | b'2'..=b'7');
        match (20..=30).contains(&text.len()) && text.bytes().all(is_legal) {
            true => Ok(Self(text.into())),
            false => Err(CredentialError::AccessKeyId),
        }
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl AccessKeyId {
    /// Accepts any text as an id, because the ids of the published test vectors have other characters.
    pub(super) fn unchecked(text: &str) -> Self {
        Self(text.into())
    }
}

/// A key derived from a secret for one day, Region and service; wiped when it is dropped.
pub(super) type SigningKey = Arc<Zeroizing<Vec<u8>>>;

struct CachedKey {
    date: String,
    region: String,
    service: String,
    key: SigningKey,
}

/// An access key id with its secret and the signing keys derived from it.
pub struct Credential {
    id: AccessKeyId,
    secret: Secret,
    derived: RwLock<Vec<CachedKey>>,
}

impl Credential {
    /// Creates a credential.
    ///
    /// # Errors
    /// [`CredentialError`] when id or secret is malformed.
    pub fn new(id: &str, secret: Secret) -> Result<Self, CredentialError> {
        let id = AccessKeyId::parse(id)?;
        let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+' | b'=');
        let text = secret.expose();
        match (43..=64).contains(&text.len()) && text.bytes().all(is_legal) {
            true => Ok(Self::unchecked(id, secret)),
            false => Err(CredentialError::Secret),
        }
    }

    /// Creates a credential of AWS itself. Its id has 16 to 128 letters and digits, its secret 1 to 128 visible characters; the rules of external key
    /// stores differ. `None` when id or secret is malformed.
    pub fn of_aws(id: &str, secret: Secret) -> Option<Self> {
        let is_id = (16..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        let text = secret.expose();
        let is_secret =
            (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        (is_id && is_secret).then(|| Self::unchecked(AccessKeyId(id.into()), secret))
    }

    pub(super) fn unchecked(id: AccessKeyId, secret: Secret) -> Self {
        Self {
            id,
            secret,
            derived: RwLock::default(),
        }
    }

    /// Returns the access key id.
    pub fn id(&self) -> &AccessKeyId {
        &self.id
    }

    /// Returns whether both credentials have the same secret, in constant time.
    pub fn has_secret_of(&self, other: &Self) -> bool {
        self.secret.is_same(&other.secret)
    }

    /// Returns the signing key of a day (`date` as `yyyymmdd`, the day of `time`). It is derived once and then cached.
    pub(super) fn signing_key(
        &self,
        date: &str,
        time: SystemTime,
        region: &str,
        service: &str,
    ) -> SigningKey {
        let cached = self.derived.read().unwrap_or_else(poisoned);
        let found = cached
            .iter()
            .find(|k| k.date == date && k.region == region && k.service == service)
            .map(|k| Arc::clone(&k.key));
        drop(cached);
        found.unwrap_or_else(|| self.derive(date, time, region, service))
    }

    fn derive(&self, date: &str, time: SystemTime, region: &str, service: &str) -> SigningKey {
        let derived =
            aws_sigv4::sign::v4::generate_signing_key(self.secret.expose(), time, region, service);
        let key = Arc::new(Zeroizing::new(derived.as_ref().to_vec()));
        let mut cached = self.derived.write().unwrap_or_else(poisoned);
        if cached.len() >= CACHED_KEYS {
            cached.remove(0);
        }
        cached.push(CachedKey {
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            key: Arc::clone(&key),
        });
        key
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// All credentials that a key store accepts.
#[derive(Clone, Debug, Default)]
pub struct Credentials(Vec<Arc<Credential>>);

impl Credentials {
    /// Creates the set. The caller must ensure that no access key id occurs twice.
    pub fn new(credentials: Vec<Credential>) -> Self {
        Self(credentials.into_iter().map(Arc::new).collect())
    }

    /// Returns the credential with this access key id. A store has few credentials, so a search through a list is fast.
    pub(super) fn find(&self, id: &str) -> Option<&Arc<Credential>> {
        self.0
            .iter()
            .find(|credential| credential.id.as_str() == id)
    }

    /// Returns an iterator over the credentials.
    pub fn iter(&self) -> impl Iterator<Item = &Credential> {
        self.0.iter().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ";

    fn credential(id: &str, secret: &str) -> Result<Credential, CredentialError> {
        Credential::new(id, Secret::new(secret.into()))
    }

    #[test]
    fn characters_and_lengths_are_checked() {
        let id = "A".repeat(20);
        assert!(credential(&id, SECRET).is_ok());
        assert!(credential(&"7".repeat(30), &"/".repeat(64)).is_ok());
        for bad in [
            "A".repeat(19),
            "A".repeat(31),
            "a".repeat(20),
            "1".repeat(20),
            "8".repeat(20),
        ] {
            assert_eq!(
                credential(&bad, SECRET).unwrap_err(),
                CredentialError::AccessKeyId
            );
        }
        for bad in [
            "a".repeat(42),
            "a".repeat(65),
            "-".repeat(43),
            "ä".repeat(22),
            String::new(),
        ] {
            assert_eq!(credential(&id, &bad).unwrap_err(), CredentialError::Secret);
        }
    }

    #[test]
    fn credentials_of_aws_have_other_rules() {
        let aws_credential =
            |id: &str, secret: &str| Credential::of_aws(id, Secret::new(secret.into()));
        assert!(aws_credential("AKIAIOSFODNN7EXAMPLE", &"s".repeat(40)).is_some());
        assert!(
            aws_credential("AKIA", SECRET).is_none()
                && aws_credential(&"A-".repeat(10), SECRET).is_none()
        );
        assert!(
            aws_credential(&"A".repeat(20), "").is_none()
                && aws_credential(&"A".repeat(20), "a b").is_none()
        );
    }

    #[test]
    fn debug_shows_the_id_only() {
        let credential = credential(&"A".repeat(20), SECRET).unwrap();
        credential.signing_key("20260101", SystemTime::UNIX_EPOCH, "r", "s");
        let text = format!("{credential:?}");
        assert!(text.contains("AAAA") && !text.contains("abcdef"), "{text}");
    }

    #[test]
    fn derived_keys_are_cached_and_bounded() {
        let credential = credential(&"A".repeat(20), SECRET).unwrap();
        let day = |n: u64| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n * 86_400);
        let first = credential.signing_key("19700102", day(1), "r", "s");
        let again = credential.signing_key("19700102", day(1), "r", "s");
        assert!(Arc::ptr_eq(&first, &again));
        for n in 2..20 {
            credential.signing_key(&format!("1970010{n}"), day(n), "r", "s");
        }
        assert_eq!(credential.derived.read().unwrap().len(), CACHED_KEYS);
        assert_ne!(
            *first,
            *credential.signing_key("19700102", day(1), "r2", "s")
        );
    }
}
