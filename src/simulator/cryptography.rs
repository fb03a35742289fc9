//! Encrypt, Decrypt, ReEncrypt and the data keys: KMS's own encryption first, the proxy's around it.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::authorize::authorize;
use super::blob::{Blob, is_whole};
use super::caller::Call;
use super::calls::Asker;
use super::context::{Context, Pairs};
use super::exception::{Exception, Kind, rehearsed};
use super::keys::{Found, Names, Usable, find, not_connected};
use super::random;
use super::state::State;
use super::wire::{self, Bytes, base64, check, need};
use super::world::World;
use crate::secret::SecretBytes;
use crate::xks::SealedBytes;

/// The longest plaintext, in bytes.
const LONGEST_PLAINTEXT: usize = 4_096;

/// The longest CiphertextBlob, in bytes.
const LONGEST_BLOB: usize = 6_144;

/// The only algorithm of symmetric keys.
const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypt {
    key_id: Option<String>,
    plaintext: Option<Bytes>,
    encryption_context: Option<Pairs>,
    encryption_algorithm: Option<String>,
    dry_run: Option<bool>,
}

/// Encrypt.
pub(super) async fn encrypt(world: &World, call: &Call, body: &[u8]) -> Result<Value, Exception> {
    let request: Encrypt = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let plaintext = &need(&request.plaintext, "plaintext")?.0;
    let fits = (1..=LONGEST_PLAINTEXT).contains(&plaintext.len());
    check(
        fits,
        "plaintext",
        "Member must have length between 1 and 4096",
    )?;
    check_algorithm(request.encryption_algorithm.as_deref())?;
    let context = Context::new(request.encryption_context)?;
    let key = world.read(|state| usable(state, call, id, "Encrypt", &context))?;
    rehearsed(request.dry_run)?;
    let blob = seal(world, call, &key, "Encrypt", plaintext.expose(), &context).await?;
    Ok(json!({
        "CiphertextBlob": base64(&blob),
        "EncryptionAlgorithm": ALGORITHM,
        "KeyId": key.arn,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypt {
    key_id: Option<String>,
    ciphertext_blob: Option<Bytes>,
    encryption_context: Option<Pairs>,
    encryption_algorithm: Option<String>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
}

/// Decrypt.
pub(super) async fn decrypt(world: &World, call: &Call, body: &[u8]) -> Result<Value, Exception> {
    let request: Decrypt = wire::parse(body)?;
    let bytes = need(&request.ciphertext_blob, "ciphertextBlob")?.0.expose();
    check_algorithm(request.encryption_algorithm.as_deref())?;
    check_no_recipient(request.recipient.as_ref())?;
    let context = Context::new(request.encryption_context)?;
    let source = Source {
        bytes,
        id: request.key_id.as_deref(),
        action: "Decrypt",
    };
    let (key, blob) = world.read(|state| source.usable(state, call, &context))?;
    rehearsed(request.dry_run)?;
    let plaintext = open(world, call, &key, "Decrypt", &blob, &context).await?;
    Ok(json!({
        "EncryptionAlgorithm": ALGORITHM,
        "KeyId": key.arn,
        "Plaintext": base64(plaintext.expose()),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataKey {
    key_id: Option<String>,
    encryption_context: Option<Pairs>,
    number_of_bytes: Option<i64>,
    key_spec: Option<String>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
}

impl DataKey {
    fn length(&self) -> Result<usize, Exception> {
        match (self.key_spec.as_deref(), self.number_of_bytes) {
            (Some("AES_256"), None) => Ok(32),
            (Some("AES_128"), None) => Ok(16),
            (Some(_), None) => Err(wire::invalid(
                "keySpec",
                "Member must satisfy enum value set: [AES_256, AES_128]",
            )),
            (None, Some(bytes)) => number_of_bytes(bytes),
            _ => {
                Err(Kind::Validation.because("Please specify either number of bytes or key spec."))
            }
        }
    }
}

/// GenerateDataKey, and GenerateDataKeyWithoutPlaintext.
pub(super) async fn data_key(
    world: &World,
    call: &Call,
    body: &[u8],
    operation: &'static str,
) -> Result<Value, Exception> {
    let request: DataKey = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let mut plaintext = Zeroizing::new(vec![0; request.length()?]);
    check_no_recipient(request.recipient.as_ref())?;
    let context = Context::new(request.encryption_context)?;
    let key = world.read(|state| usable(state, call, id, operation, &context))?;
    rehearsed(request.dry_run)?;
    random::fill(&mut plaintext)?;
    let blob = seal(world, call, &key, operation, &plaintext, &context).await?;
    let mut answer = Map::new();
    answer.insert("CiphertextBlob".to_owned(), json!(base64(&blob)));
    answer.insert("KeyId".to_owned(), json!(key.arn));
    if operation == "GenerateDataKey" {
        answer.insert("Plaintext".to_owned(), json!(base64(&plaintext)));
    }
    Ok(Value::Object(answer))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReEncrypt {
    ciphertext_blob: Option<Bytes>,
    source_encryption_context: Option<Pairs>,
    source_key_id: Option<String>,
    destination_key_id: Option<String>,
    destination_encryption_context: Option<Pairs>,
    source_encryption_algorithm: Option<String>,
    destination_encryption_algorithm: Option<String>,
    dry_run: Option<bool>,
}

/// ReEncrypt.
pub(super) async fn re_encrypt(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: ReEncrypt = wire::parse(body)?;
    let bytes = need(&request.ciphertext_blob, "ciphertextBlob")?.0.expose();
    let to = need(&request.destination_key_id, "destinationKeyId")?;
    check_algorithm(request.source_encryption_algorithm.as_deref())?;
    check_algorithm(request.destination_encryption_algorithm.as_deref())?;
    let before = Context::new(request.source_encryption_context)?;
    let after = Context::new(request.destination_encryption_context)?;
    let source = Source {
        bytes,
        id: request.source_key_id.as_deref(),
        action: "ReEncryptFrom",
    };
    let (from, blob, to) = world.read(|state| {
        let (from, blob) = source.usable(state, call, &before)?;
        Ok((from, blob, usable(state, call, to, "ReEncryptTo", &after)?))
    })?;
    rehearsed(request.dry_run)?;
    let plaintext = open(world, call, &from, "ReEncrypt", &blob, &before).await?;
    let blob = seal(world, call, &to, "ReEncrypt", plaintext.expose(), &after).await?;
    Ok(json!({
        "CiphertextBlob": base64(&blob),
        "DestinationEncryptionAlgorithm": ALGORITHM,
        "KeyId": to.arn,
        "SourceEncryptionAlgorithm": ALGORITHM,
        "SourceKeyId": from.arn,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Random {
    number_of_bytes: Option<i64>,
    custom_key_store_id: Option<String>,
    recipient: Option<Value>,
}

/// GenerateRandom. An external key store makes no randomness.
pub(super) fn random(body: &[u8]) -> Result<Value, Exception> {
    let request: Random = wire::parse(body)?;
    let length = number_of_bytes(*need(&request.number_of_bytes, "numberOfBytes")?)?;
    check_no_recipient(request.recipient.as_ref())?;
    if request.custom_key_store_id.is_some() {
        return Err(Kind::UnsupportedOperation
            .because("GenerateRandom is not supported in external key stores."));
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    random::fill(&mut bytes)?;
    Ok(json!({ "Plaintext": base64(&bytes) }))
}

/// A blob to be decrypted, as whoever asks has described it.
struct Source<'a> {
    bytes: &'a [u8],
    /// The KeyId that the request names.
    id: Option<&'a str>,
    action: &'static str,
}

impl Source<'_> {
    /// The blob's key, if it is the one that was named and can be used, and the blob, if every bit of it is right.
    fn usable(
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
        let invalid = || {
            Kind::InvalidCiphertext.because(
                "The ciphertext is corrupted, of another Region, or of a key that is gone.",
            )
        };
        let named = self
            .id
            .map(|id| find(state, caller, id, Names::KeysAndAliases))
            .transpose()?;
        let blob = Blob::parse(bytes)
            .filter(|blob| blob.key.region == caller.region)
            .ok_or_else(invalid)?;
        let place = state
            .place(&blob.key.account, &blob.key.region)
            .ok_or_else(invalid)?;
        let key = place.keys.get(&blob.key.id).ok_or_else(invalid)?;
        let (account, region) = (blob.key.account.as_str(), blob.key.region.as_str());
        let found = Found {
            account,
            region,
            place,
            key,
        };
        if !is_whole(bytes, &key.material) {
            return Err(invalid());
        }
        if named.is_some_and(|named| named.to_owned() != found.to_owned()) {
            return Err(Kind::IncorrectKey.because(
                "The key ID in the request does not identify a CMK that can perform this operation: the ciphertext was made with another.",
            ));
        }
        authorize(&found, caller, self.action, context)?;
        let usable = found.usable()?;
        Ok((usable, blob))
    }
}

fn usable(
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

async fn seal(
    world: &World,
    call: &Call,
    key: &Usable,
    kms_operation: &'static str,
    plaintext: &[u8],
    context: &Context,
) -> Result<Vec<u8>, Exception> {
    let inner = key.material.seal(plaintext, &context.inner_aad(&key.arn))?;
    let asker = asker(world, call, key, kms_operation)?;
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

async fn open(
    world: &World,
    call: &Call,
    key: &Usable,
    kms_operation: &'static str,
    blob: &Blob,
    context: &Context,
) -> Result<SecretBytes, Exception> {
    let asker = asker(world, call, key, kms_operation)?;
    let sealed: &SealedBytes = &blob.sealed;
    let inner = asker
        .decrypt(&key.xks_key_id, sealed, &blob.metadata, context.aad())
        .await;
    let inner = inner.map_err(|fault| refused(&asker, key, fault.of_cryptography()))?;
    let plaintext = key
        .material
        .open(inner.expose(), &context.inner_aad(&key.arn));
    plaintext.ok_or_else(|| {
        Kind::InvalidCiphertext
            .because("The external key store proxy gave another plaintext than KMS had given it.")
    })
}

/// Whoever asks the proxy, after the quota was asked.
fn asker<'a>(
    world: &'a World,
    call: &'a Call,
    key: &'a Usable,
    kms_operation: &'static str,
) -> Result<Asker<'a>, Exception> {
    let taken = key.live.quota(world.quota).take();
    taken.inspect_err(|_| world.counters.throttled(&key.store))?;
    if key.link.is_closed() {
        return Err(not_connected(&key.arn));
    }
    Ok(Asker {
        world,
        link: &key.link,
        account: &key.name.account,
        region: &key.name.region,
        store: &key.store,
        kms_operation,
        request_id: &call.request_id,
        principal: Some(&call.caller.principal),
        key_arn: Some(&key.arn),
    })
}

/// A call that failed while its store was being disconnected failed because of that.
fn refused(asker: &Asker<'_>, key: &Usable, exception: Exception) -> Exception {
    match asker.link.is_closed() && key.live.link().is_none() {
        true => not_connected(&key.arn),
        false => exception,
    }
}

fn check_algorithm(algorithm: Option<&str>) -> Result<(), Exception> {
    match algorithm {
        None | Some(ALGORITHM) => Ok(()),
        Some(_) => Err(Kind::UnsupportedOperation
            .because("Keys in custom key stores encrypt with SYMMETRIC_DEFAULT only.")),
    }
}

fn check_no_recipient(recipient: Option<&Value>) -> Result<(), Exception> {
    match recipient {
        None => Ok(()),
        Some(_) => Err(Kind::UnsupportedOperation
            .because("The simulator knows no Nitro enclaves: Recipient is not supported.")),
    }
}

fn number_of_bytes(bytes: i64) -> Result<usize, Exception> {
    let fits = usize::try_from(bytes)
        .ok()
        .filter(|bytes| (1..=1024).contains(bytes));
    fits.ok_or_else(|| wire::invalid("numberOfBytes", "Member must have value between 1 and 1024"))
}
