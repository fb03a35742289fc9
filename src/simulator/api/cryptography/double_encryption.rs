//! Double encryption: KMS encrypts first, and the proxy encrypts the result. Both happen only for an authorized caller and a usable key.

use std::borrow::Cow;
use std::sync::Arc;

use crate::secret::SecretBytes;
use crate::simulator::api::authorize::authorize;
use crate::simulator::api::proxy_calls::ProxyClient;
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::cloudwatch::StoreName;
use crate::simulator::crypto::blob::{Blob, BlobKey, is_authentic};
use crate::simulator::crypto::context::EncryptionContext;
use crate::simulator::kms::Kms;
use crate::simulator::proxy::errors::ProxyError;
use crate::simulator::proxy::link::ProxyLink;
use crate::simulator::state::KmsState;
use crate::simulator::state::lookup::{AcceptedIds, FoundKey, UsableKey, find, not_connected};
use crate::simulator::wire::check;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::xks::{Aad, CiphertextMetadata, EncryptedBytes};

/// The longest CiphertextBlob, in bytes.
const LONGEST_BLOB: usize = 6_144;

/// A blob to decrypt, with the parameters of the request.
pub(in crate::simulator) struct CiphertextSource<'a> {
    pub(in crate::simulator) bytes: &'a [u8],
    /// The KeyId of the request.
    pub(in crate::simulator) id: Option<&'a str>,
    pub(in crate::simulator) action: &'static str,
}

impl CiphertextSource<'_> {
    /// Returns the key of the blob and the parsed blob. The blob must be authentic, and its key must be usable and match the request.
    pub(in crate::simulator) fn usable_key(
        &self,
        state: &KmsState,
        call: &KmsCall,
        context: &EncryptionContext,
    ) -> Result<(UsableKey, Blob), Exception> {
        let (caller, bytes) = (&call.caller, self.bytes);
        let fits = (1..=LONGEST_BLOB).contains(&bytes.len());
        check(
            fits,
            "ciphertextBlob",
            "Member must have length between 1 and 6144",
        )?;
        let named = self
            .id
            .map(|id| find(state, caller, id, AcceptedIds::KeysAndAliases));
        let named = named.transpose()?;
        let blob = Blob::parse(bytes).ok_or_else(invalid_ciphertext)?;
        let is_here = blob.key.region == caller.region;
        let found = made_with(state, &blob)
            .filter(|_| is_here)
            .ok_or_else(unknown_key)?;
        if !is_authentic(bytes, &found.key.material) {
            return Err(invalid_ciphertext());
        }
        if named.is_some_and(|named| named.location() != found.location()) {
            return Err(ExceptionKind::IncorrectKey.with_message(
                "The key ID in the request does not identify the KMS key that the ciphertext was made with.",
            ));
        }
        let found = FoundKey {
            alias: named.and_then(|named| named.alias),
            ..found
        };
        authorize(&found, caller, self.action, context)?;
        let usable = found.usable_key()?;
        Ok((usable, blob))
    }
}

/// Returns the key that a blob names.
fn made_with<'a>(state: &'a KmsState, blob: &'a Blob) -> Option<FoundKey<'a>> {
    let BlobKey {
        account,
        region,
        id,
    } = &blob.key;
    let region_state = state.region_state(account, region)?;
    let key = region_state.keys.get(id)?;
    Some(FoundKey {
        account,
        region,
        region_state,
        key,
        alias: None,
    })
}

fn invalid_ciphertext() -> Exception {
    ExceptionKind::InvalidCiphertext.with_message("The ciphertext is corrupted.")
}

/// The wording is that of KMS: the EKS encryption provider recognizes a deleted key by it.
fn unknown_key() -> Exception {
    ExceptionKind::AccessDenied.with_message(
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.",
    )
}

/// Returns the key that `id` names, if the caller may use it and the key is usable.
pub(in crate::simulator) fn usable_key(
    state: &KmsState,
    call: &KmsCall,
    id: &str,
    action: &str,
    context: &EncryptionContext,
) -> Result<UsableKey, Exception> {
    let found = find(state, &call.caller, id, AcceptedIds::KeysAndAliases)?;
    authorize(&found, &call.caller, action, context)?;
    found.usable_key()
}

/// Encrypts twice and returns the blob.
pub(in crate::simulator) async fn seal(
    kms: &Kms,
    call: &KmsCall,
    key: &UsableKey,
    kms_operation: &'static str,
    plaintext: &[u8],
    context: &EncryptionContext,
) -> Result<Vec<u8>, Exception> {
    let inner = key.material.seal(plaintext, &context.inner_aad(&key.arn))?;
    let operation = KeyOperation {
        kms,
        call,
        principal: call.caller.principal_arn(),
        key,
        kms_operation,
    };
    let (encrypted, metadata) = operation.encrypt(&inner, context.aad()).await?;
    let blob = Blob {
        key: key.name.clone(),
        encrypted,
        metadata,
    };
    let bytes = blob.bytes(&key.material);
    bytes.ok_or_else(|| {
        ExceptionKind::KmsInternal.with_message("KMS could not encode the ciphertext.")
    })
}

/// Decrypts twice.
pub(in crate::simulator) async fn open(
    kms: &Kms,
    call: &KmsCall,
    key: &UsableKey,
    kms_operation: &'static str,
    blob: &Blob,
    context: &EncryptionContext,
) -> Result<SecretBytes, Exception> {
    let operation = KeyOperation {
        kms,
        call,
        principal: call.caller.principal_arn(),
        key,
        kms_operation,
    };
    let inner = operation.decrypt(blob, context.aad()).await?;
    let plaintext = key
        .material
        .open(inner.expose(), &context.inner_aad(&key.arn));
    // The blob is authentic, so the proxy returned a wrong plaintext.
    plaintext.ok_or_else(|| ProxyError::InvalidResponse.for_cryptography(false))
}

/// A cryptographic operation with one key, for one call.
struct KeyOperation<'a> {
    kms: &'a Kms,
    call: &'a KmsCall,
    /// The value of `awsPrincipalArn`.
    principal: Cow<'a, str>,
    key: &'a UsableKey,
    kms_operation: &'static str,
}

/// The link that the operation uses. It is replaced once if the store gets a new link.
struct CurrentLink {
    link: Arc<ProxyLink>,
    is_replacement: bool,
}

impl KeyOperation<'_> {
    async fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
    ) -> Result<(EncryptedBytes, CiphertextMetadata), Exception> {
        let mut current = self.current()?;
        loop {
            let client = self.client(&current.link);
            let answer = client.encrypt(&self.key.xks_key_id, plaintext, aad).await;
            if let Some(encrypted) = self.accept(answer, &mut current)? {
                return Ok(encrypted);
            }
        }
    }

    async fn decrypt(&self, blob: &Blob, aad: &Aad) -> Result<SecretBytes, Exception> {
        let (key, mut current) = (&self.key.xks_key_id, self.current()?);
        loop {
            let client = self.client(&current.link);
            let answer = client
                .decrypt(key, &blob.encrypted, &blob.metadata, aad)
                .await;
            if let Some(plaintext) = self.accept(answer, &mut current)? {
                return Ok(plaintext);
            }
        }
    }

    /// Consumes one request of the quota of the store, and returns its link.
    fn current(&self) -> Result<CurrentLink, Exception> {
        let Self { kms, key, .. } = self;
        let taken = key.runtime.quota(kms.quota).take();
        taken.inspect_err(|_| {
            let store = StoreName {
                account: &key.name.account,
                region: &key.name.region,
                id: &key.store,
            };
            kms.metrics.record_throttle(&key.store);
            kms.cloudwatch.record_throttle(store, self.kms_operation);
        })?;
        Ok(CurrentLink {
            link: self.link()?,
            is_replacement: false,
        })
    }

    /// Returns the answer, or none if the operation must be repeated: the store got a new link, so an error on the closed one means nothing.
    fn accept<T>(
        &self,
        answer: Result<T, ProxyError>,
        current: &mut CurrentLink,
    ) -> Result<Option<T>, Exception> {
        match (answer, current.link.is_closed(), current.is_replacement) {
            (Ok(answer), ..) => Ok(Some(answer)),
            (Err(error), false, _) => Err(error.for_cryptography(self.kms.internal_timeouts)),
            (Err(_), true, true) => Err(not_connected(&self.key.arn)),
            (Err(_), true, false) => {
                *current = CurrentLink {
                    link: self.link()?,
                    is_replacement: true,
                };
                Ok(None)
            }
        }
    }

    /// Returns the current link of the store, or the exception for a store that is disconnected.
    fn link(&self) -> Result<Arc<ProxyLink>, Exception> {
        let link = self.key.runtime.link();
        link.ok_or_else(|| not_connected(&self.key.arn))
    }

    fn client<'l>(&'l self, link: &'l ProxyLink) -> ProxyClient<'l> {
        let key = self.key;
        ProxyClient {
            kms: self.kms,
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
