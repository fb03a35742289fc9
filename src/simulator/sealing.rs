//! The double encryption: KMS's own first, the proxy's around it; and what must hold before either.

use std::borrow::Cow;
use std::sync::Arc;

use super::authorize::authorize;
use super::blob::{Blob, BlobKey, is_whole};
use super::caller::Call;
use super::calls::Asker;
use super::cloudwatch::StoreName;
use super::context::Context;
use super::exception::{Exception, Kind};
use super::faults::ProxyFault;
use super::keys::{Found, Names, Usable, find, not_connected};
use super::link::Link;
use super::state::State;
use super::wire::check;
use super::world::World;
use crate::secret::SecretBytes;
use crate::xks::{Aad, CiphertextMetadata, EncryptedBytes};

/// The longest CiphertextBlob, in bytes.
const LONGEST_BLOB: usize = 6_144;

/// A blob to be decrypted, as whoever asks has described it.
pub(super) struct Source<'a> {
    pub(super) bytes: &'a [u8],
    /// The KeyId that the request names.
    pub(super) id: Option<&'a str>,
    pub(super) action: &'static str,
}

impl Source<'_> {
    /// The blob's key, if it is the one that was named and can be used, and the blob, if every bit of it is right.
    pub(super) fn usable(
        &self,
        state: &State,
        call: &Call,
        context: &Context,
    ) -> Result<(Usable, Blob), Exception> {
        let (caller, bytes) = (&call.caller, self.bytes);
        let fits = (1..=LONGEST_BLOB).contains(&bytes.len());
        check(
            fits,
            "ciphertextBlob",
            "Member must have length between 1 and 6144",
        )?;
        let named = self
            .id
            .map(|id| find(state, caller, id, Names::KeysAndAliases));
        let named = named.transpose()?;
        let blob = Blob::parse(bytes).ok_or_else(invalid)?;
        let is_here = blob.key.region == caller.region;
        let found = made_with(state, &blob)
            .filter(|_| is_here)
            .ok_or_else(elsewhere)?;
        if !is_whole(bytes, &found.key.material) {
            return Err(invalid());
        }
        if named.is_some_and(|named| named.to_owned() != found.to_owned()) {
            return Err(Kind::IncorrectKey.because(
                "The key ID in the request does not identify the KMS key that the ciphertext was made with.",
            ));
        }
        let found = Found {
            alias: named.and_then(|named| named.alias),
            ..found
        };
        authorize(&found, caller, self.action, context)?;
        let usable = found.usable()?;
        Ok((usable, blob))
    }
}

/// The key that a blob names.
fn made_with<'a>(state: &'a State, blob: &'a Blob) -> Option<Found<'a>> {
    let BlobKey {
        account,
        region,
        id,
    } = &blob.key;
    let place = state.place(account, region)?;
    let key = place.keys.get(id)?;
    Some(Found {
        account,
        region,
        place,
        key,
        alias: None,
    })
}

fn invalid() -> Exception {
    Kind::InvalidCiphertext.because("The ciphertext is corrupted.")
}

/// KMS's own words: the EKS encryption provider recognizes a key that is gone by them.
fn elsewhere() -> Exception {
    Kind::AccessDenied.because(
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.",
    )
}

/// The key that encrypts, if the caller may and it can.
pub(super) fn usable(
    state: &State,
    call: &Call,
    id: &str,
    action: &str,
    context: &Context,
) -> Result<Usable, Exception> {
    let found = find(state, &call.caller, id, Names::KeysAndAliases)?;
    authorize(&found, &call.caller, action, context)?;
    found.usable()
}

/// Encrypts twice, and puts the blob together.
pub(super) async fn seal(
    world: &World,
    call: &Call,
    key: &Usable,
    kms_operation: &'static str,
    plaintext: &[u8],
    context: &Context,
) -> Result<Vec<u8>, Exception> {
    let inner = key.material.seal(plaintext, &context.inner_aad(&key.arn))?;
    let ask = Ask {
        world,
        call,
        principal: call.caller.principal_arn(),
        key,
        kms_operation,
    };
    let (sealed, metadata) = ask.encrypt(&inner, context.aad()).await?;
    let blob = Blob {
        key: key.name.clone(),
        sealed,
        metadata,
    };
    let bytes = blob.bytes(&key.material);
    bytes.ok_or_else(|| Kind::KmsInternal.because("KMS could not put the ciphertext together."))
}

/// Decrypts twice.
pub(super) async fn open(
    world: &World,
    call: &Call,
    key: &Usable,
    kms_operation: &'static str,
    blob: &Blob,
    context: &Context,
) -> Result<SecretBytes, Exception> {
    let ask = Ask {
        world,
        call,
        principal: call.caller.principal_arn(),
        key,
        kms_operation,
    };
    let inner = ask.decrypt(blob, context.aad()).await?;
    let plaintext = key
        .material
        .open(inner.expose(), &context.inner_aad(&key.arn));
    // The blob is whole: what is wrong is what the proxy has made of it.
    plaintext.ok_or_else(|| ProxyFault::InvalidResponse.of_cryptography(false))
}

/// A question to the proxy of a key's store.
struct Ask<'a> {
    world: &'a World,
    call: &'a Call,
    /// The value of `awsPrincipalArn`.
    principal: Cow<'a, str>,
    key: &'a Usable,
    kms_operation: &'static str,
}

/// The way to a store's proxy; the second one, if the store has got another meanwhile.
struct Way {
    link: Arc<Link>,
    is_second: bool,
}

impl Ask<'_> {
    async fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
    ) -> Result<(EncryptedBytes, CiphertextMetadata), Exception> {
        let mut way = self.way()?;
        loop {
            let asker = self.asker(&way.link);
            let answer = asker.encrypt(&self.key.xks_key_id, plaintext, aad).await;
            if let Some(sealed) = self.judge(answer, &mut way)? {
                return Ok(sealed);
            }
        }
    }

    async fn decrypt(&self, blob: &Blob, aad: &Aad) -> Result<SecretBytes, Exception> {
        let (key, mut way) = (&self.key.xks_key_id, self.way()?);
        loop {
            let asker = self.asker(&way.link);
            let answer = asker.decrypt(key, &blob.sealed, &blob.metadata, aad).await;
            if let Some(plaintext) = self.judge(answer, &mut way)? {
                return Ok(plaintext);
            }
        }
    }

    /// The way, after the quota was asked.
    fn way(&self) -> Result<Way, Exception> {
        let Self { world, key, .. } = self;
        let taken = key.live.quota(world.quota).take();
        taken.inspect_err(|_| {
            let store = StoreName {
                account: &key.name.account,
                region: &key.name.region,
                id: &key.store,
            };
            world.counters.throttled(&key.store);
            world.cloudwatch.throttled(store, self.kms_operation);
        })?;
        Ok(Way {
            link: self.link()?,
            is_second: false,
        })
    }

    /// The answer; none when it is to be asked for once more, because the store has got another way to its proxy: then the end of the old one
    /// says nothing.
    fn judge<T>(
        &self,
        answer: Result<T, ProxyFault>,
        way: &mut Way,
    ) -> Result<Option<T>, Exception> {
        match (answer, way.link.is_closed(), way.is_second) {
            (Ok(answer), ..) => Ok(Some(answer)),
            (Err(fault), false, _) => Err(fault.of_cryptography(self.world.internal_timeouts)),
            (Err(_), true, true) => Err(not_connected(&self.key.arn)),
            (Err(_), true, false) => {
                *way = Way {
                    link: self.link()?,
                    is_second: true,
                };
                Ok(None)
            }
        }
    }

    /// There is none any more when the store was disconnected meanwhile: a call that failed then failed because of that.
    fn link(&self) -> Result<Arc<Link>, Exception> {
        let link = self.key.live.link();
        link.ok_or_else(|| not_connected(&self.key.arn))
    }

    fn asker<'l>(&'l self, link: &'l Link) -> Asker<'l> {
        let key = self.key;
        Asker {
            world: self.world,
            link,
            account: &key.name.account,
            region: &key.name.region,
            store: Some(&key.store),
            kms_operation: self.kms_operation,
            request_id: &self.call.request_id,
            principal: Some(&self.principal),
            key_arn: Some(&key.arn),
        }
    }
}
