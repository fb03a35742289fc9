//! Encrypt, Decrypt, ReEncrypt.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::cryptography::double_encryption::{Source, open, seal, usable};
use crate::simulator::callers::caller::Call;
use crate::simulator::crypto::context::{Context, Pairs};
use crate::simulator::wire::exception::{Exception, Kind, rehearsal, rehearsed};
use crate::simulator::wire::{self, Bytes, base64, check, need};
use crate::simulator::world::World;

/// The longest plaintext, in bytes.
const LONGEST_PLAINTEXT: usize = 4_096;

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
pub(in crate::simulator) async fn encrypt(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
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
    dry_run_modifiers: Option<Vec<String>>,
}

/// Decrypt.
pub(in crate::simulator) async fn decrypt(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: Decrypt = wire::parse(body)?;
    check_algorithm(request.encryption_algorithm.as_deref())?;
    check_no_recipient(request.recipient.as_ref())?;
    let context = Context::new(request.encryption_context)?;
    if ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_deref())? {
        let id = need(&request.key_id, "keyId")?;
        world.read(|state| usable(state, call, id, "Decrypt", &context))?;
        return Err(rehearsal());
    }
    let bytes = need(&request.ciphertext_blob, "ciphertextBlob")?.0.expose();
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
struct ReEncrypt {
    ciphertext_blob: Option<Bytes>,
    source_encryption_context: Option<Pairs>,
    source_key_id: Option<String>,
    destination_key_id: Option<String>,
    destination_encryption_context: Option<Pairs>,
    source_encryption_algorithm: Option<String>,
    destination_encryption_algorithm: Option<String>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

/// ReEncrypt.
pub(in crate::simulator) async fn re_encrypt(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: ReEncrypt = wire::parse(body)?;
    let to = need(&request.destination_key_id, "destinationKeyId")?;
    check_algorithm(request.source_encryption_algorithm.as_deref())?;
    check_algorithm(request.destination_encryption_algorithm.as_deref())?;
    let before = Context::new(request.source_encryption_context)?;
    let after = Context::new(request.destination_encryption_context)?;
    if ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_deref())? {
        let from = need(&request.source_key_id, "sourceKeyId")?;
        world.read(|state| {
            usable(state, call, from, "ReEncryptFrom", &before)?;
            usable(state, call, to, "ReEncryptTo", &after)
        })?;
        return Err(rehearsal());
    }
    let bytes = need(&request.ciphertext_blob, "ciphertextBlob")?.0.expose();
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

/// Whether the request is a dry run that looks at permissions only, and needs no ciphertext.
fn ignores_ciphertext(
    dry_run: Option<bool>,
    modifiers: Option<&[String]>,
) -> Result<bool, Exception> {
    let modifiers = modifiers.unwrap_or_default();
    check(
        modifiers
            .iter()
            .all(|modifier| modifier == "IGNORE_CIPHERTEXT"),
        "dryRunModifiers",
        "Member must satisfy enum value set: [IGNORE_CIPHERTEXT]",
    )?;
    match (modifiers.is_empty(), dry_run) {
        (true, _) => Ok(false),
        (false, Some(true)) => Ok(true),
        (false, _) => {
            Err(Kind::Validation.because("DryRunModifiers can be specified only with DryRun."))
        }
    }
}

fn check_algorithm(algorithm: Option<&str>) -> Result<(), Exception> {
    match algorithm {
        None | Some(ALGORITHM) => Ok(()),
        Some(_) => Err(Kind::InvalidKeyUsage
            .because("Keys in custom key stores encrypt with SYMMETRIC_DEFAULT only.")),
    }
}

/// Enclaves get their plaintexts in another form.
pub(in crate::simulator) fn check_no_recipient(recipient: Option<&Value>) -> Result<(), Exception> {
    match recipient {
        None => Ok(()),
        Some(_) => Err(Kind::Validation
            .because("The simulator knows no Nitro enclaves: Recipient is not supported.")),
    }
}
