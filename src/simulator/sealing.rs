//! The double encryption: KMS's own first, the proxy's around it; and what must hold before either.

use std::sync::Arc;

use super::authorize::authorize;
use super::blob::{Blob, BlobKey, is_whole};
use super::caller::Call;
use super::calls::Asker;
use super::context::Context;
use super::exception::{Exception, Kind};
use super::faults::ProxyFault;
use super::keys::{Found, Names, Usable, find, not_connected};
use super::link::Link;
use super::state::State;
use super::wire::check;
use super::world::World;
use crate::secret::SecretBytes;
use crate::xks::SealedBytes;

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
        let blob = Blob::parse(bytes).filter(|blob| blob.key.region == caller.region);
        let blob = blob.ok_or_else(invalid)?;
        let found = made_with(state, &blob).ok_or_else(invalid)?;
        if !is_whole(bytes, &found.key.material) {
            return Err(invalid());
        }
        if named.is_some_and(|named| named.to_owned() != found.to_owned()) {
            return Err(Kind::IncorrectKey.because(
                "The key ID in the request does not identify the KMS key that the ciphertext was made with.",
            ));
        }
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
    })
}

fn invalid() -> Exception {
    Kind::InvalidCiphertext
        .because("The ciphertext is corrupted, of another Region, or of a key that is gone.")
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
    let link = link_of(world, key)?;
    let asker = asker(world, call, key, &link, kms_operation);
    let sealed = asker.encrypt(&key.xks_key_id, &inner, context.aad()).await;
    let (sealed, metadata) =
        sealed.map_err(|fault| refused(&asker, key, fault.of_cryptography()))?;
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
    let link = link_of(world, key)?;
    let asker = asker(world, call, key, &link, kms_operation);
    let sealed: &SealedBytes = &blob.sealed;
    let inner = asker
        .decrypt(&key.xks_key_id, sealed, &blob.metadata, context.aad())
        .await;
    let inner = inner.map_err(|fault| refused(&asker, key, fault.of_cryptography()))?;
    let plaintext = key
        .material
        .open(inner.expose(), &context.inner_aad(&key.arn));
    // The blob is whole: what is wrong is what the proxy has made of it.
    plaintext.ok_or_else(|| ProxyFault::InvalidResponse.of_cryptography())
}

/// The way to the proxy, after the quota was asked: there is none any more when the store was disconnected meanwhile.
fn link_of(world: &World, key: &Usable) -> Result<Arc<Link>, Exception> {
    let taken = key.live.quota(world.quota).take();
    taken.inspect_err(|_| world.counters.throttled(&key.store))?;
    key.live.link().ok_or_else(|| not_connected(&key.arn))
}

fn asker<'a>(
    world: &'a World,
    call: &'a Call,
    key: &'a Usable,
    link: &'a Link,
    kms_operation: &'static str,
) -> Asker<'a> {
    Asker {
        world,
        link,
        account: &key.name.account,
        region: &key.name.region,
        store: Some(&key.store),
        kms_operation,
        request_id: &call.request_id,
        principal: Some(&call.caller.principal),
        key_arn: Some(&key.arn),
    }
}

/// A call that failed while its store was being disconnected failed because of that.
fn refused(asker: &Asker<'_>, key: &Usable, exception: Exception) -> Exception {
    match asker.link.is_closed() && key.live.link().is_none() {
        true => not_connected(&key.arn),
        false => exception,
    }
}
