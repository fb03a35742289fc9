//! Encrypt, Decrypt, ReEncrypt.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::cryptography::double_encryption::{
    CiphertextSource, open, seal, usable_key,
};
use crate::simulator::callers::caller::KmsCall;
use crate::simulator::crypto::context::{EncryptionContext, Pairs};
use crate::simulator::kms::Kms;
use crate::simulator::wire::exception::{
    Exception, ExceptionKind, check_dry_run, dry_run_exception,
};
use crate::simulator::wire::{self, Base64Bytes, base64, check, need};

/// The longest plaintext, in bytes.
const LONGEST_PLAINTEXT: usize = 4_096;

/// The only algorithm of symmetric keys.
const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptParameters {
    key_id: Option<String>,
    plaintext: Option<Base64Bytes>,
    encryption_context: Option<Pairs>,
    encryption_algorithm: Option<String>,
    dry_run: Option<bool>,
}

/// Encrypt.
pub(in crate::simulator) async fn encrypt(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: EncryptParameters = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let plaintext = &need(&request.plaintext, "plaintext")?.0;
    let fits = (1..=LONGEST_PLAINTEXT).contains(&plaintext.len());
    check(
        fits,
        "plaintext",
        "Member must have length between 1 and 4096",
    )?;
    check_algorithm(request.encryption_algorithm.as_deref())?;
    let context = EncryptionContext::new(request.encryption_context)?;
    let key = kms.read(|state| usable_key(state, call, id, "Encrypt", &context))?;
    check_dry_run(request.dry_run)?;
    let blob = seal(kms, call, &key, "Encrypt", plaintext.expose(), &context).await?;
    Ok(json!({
        "CiphertextBlob": base64(&blob),
        "EncryptionAlgorithm": ALGORITHM,
        "KeyId": key.arn,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptParameters {
    key_id: Option<String>,
    ciphertext_blob: Option<Base64Bytes>,
    encryption_context: Option<Pairs>,
    encryption_algorithm: Option<String>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
    dry_run_modifiers: Option<Vec<String>>,
}

/// Decrypt.
pub(in crate::simulator) async fn decrypt(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: DecryptParameters = wire::parse(body)?;
    check_algorithm(request.encryption_algorithm.as_deref())?;
    check_no_recipient(request.recipient.as_ref())?;
    let context = EncryptionContext::new(request.encryption_context)?;
    if ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_deref())? {
        let id = need(&request.key_id, "keyId")?;
        kms.read(|state| usable_key(state, call, id, "Decrypt", &context))?;
        return Err(dry_run_exception());
    }
    let bytes = need(&request.ciphertext_blob, "ciphertextBlob")?.0.expose();
    let source = CiphertextSource {
        bytes,
        id: request.key_id.as_deref(),
        action: "Decrypt",
    };
    let (key, blob) = kms.read(|state| source.usable_key(state, call, &context))?;
    check_dry_run(request.dry_run)?;
    let plaintext = open(kms, call, &key, "Decrypt", &blob, &context).await?;
    Ok(json!({
        "EncryptionAlgorithm": ALGORITHM,
        "KeyId": key.arn,
        "Plaintext": base64(plaintext.expose()),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReEncryptParameters {
    ciphertext_blob: Option<Base64Bytes>,
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
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: ReEncryptParameters = wire::parse(body)?;
    let to = need(&request.destination_key_id, "destinationKeyId")?;
    check_algorithm(request.source_encryption_algorithm.as_deref())?;
    check_algorithm(request.destination_encryption_algorithm.as_deref())?;
    let before = EncryptionContext::new(request.source_encryption_context)?;
    let after = EncryptionContext::new(request.destination_encryption_context)?;
    if ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_deref())? {
        let from = need(&request.source_key_id, "sourceKeyId")?;
        kms.read(|state| {
            usable_key(state, call, from, "ReEncryptFrom", &before)?;
            usable_key(state, call, to, "ReEncryptTo", &after)
        })?;
        return Err(dry_run_exception());
    }
    let bytes = need(&request.ciphertext_blob, "ciphertextBlob")?.0.expose();
    let source = CiphertextSource {
        bytes,
        id: request.source_key_id.as_deref(),
        action: "ReEncryptFrom",
    };
    let (from, blob, to) = kms.read(|state| {
        let (from, blob) = source.usable_key(state, call, &before)?;
        Ok((
            from,
            blob,
            usable_key(state, call, to, "ReEncryptTo", &after)?,
        ))
    })?;
    check_dry_run(request.dry_run)?;
    let plaintext = open(kms, call, &from, "ReEncrypt", &blob, &before).await?;
    let blob = seal(kms, call, &to, "ReEncrypt", plaintext.expose(), &after).await?;
    Ok(json!({
        "CiphertextBlob": base64(&blob),
        "DestinationEncryptionAlgorithm": ALGORITHM,
        "KeyId": to.arn,
        "SourceEncryptionAlgorithm": ALGORITHM,
        "SourceKeyId": from.arn,
    }))
}

/// Returns whether the request is a dry run that checks permissions only and needs no ciphertext.
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
        (false, _) => Err(ExceptionKind::Validation
            .with_message("DryRunModifiers can be specified only with DryRun.")),
    }
}

fn check_algorithm(algorithm: Option<&str>) -> Result<(), Exception> {
    match algorithm {
        None | Some(ALGORITHM) => Ok(()),
        Some(_) => Err(ExceptionKind::InvalidKeyUsage
            .with_message("Keys in custom key stores encrypt with SYMMETRIC_DEFAULT only.")),
    }
}

/// Rejects a request from a Nitro enclave, whose plaintext would have to be encrypted for the enclave.
pub(in crate::simulator) fn check_no_recipient(recipient: Option<&Value>) -> Result<(), Exception> {
    match recipient {
        None => Ok(()),
        Some(_) => Err(ExceptionKind::Validation.with_message(
            "The simulator does not support Nitro enclaves: Recipient must not be specified.",
        )),
    }
}
