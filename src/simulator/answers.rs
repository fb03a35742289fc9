//! The proxy's answers, judged: what breaks a rule of the XKS API is an invalid response, whatever its status says.
//!
//! # Invariants
//! - A ciphertext leaves here only with the CDIV that was asked for, computed over exactly what will be kept (XKS API, section 5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::faults::ProxyFault;
use crate::secret::SecretBytes;
use crate::xks::{
    Aad, CiphertextMetadata, EncryptedBytes, ErrorName, GcmTag, InitializationVector,
    integrity_value,
};

const INVALID: ProxyFault = ProxyFault::InvalidResponse;

/// The body of an answer of status 200; else the error that it is.
pub(super) fn accepted(status: u16, body: &[u8]) -> Result<&[u8], ProxyFault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Refusal {
        error_name: String,
    }
    if status == 200 {
        return Ok(body);
    }
    let refusal: Refusal = object(body)?;
    let known = ErrorName::ALL
        .into_iter()
        .find(|name| name.as_str() == refusal.error_name);
    Err(known.map_or(INVALID, ProxyFault::Named))
}

/// A JSON object of this shape: the library would take an array as well.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProxyFault> {
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|_| INVALID),
        _ => Err(INVALID),
    }
}

fn decoded(text: Option<String>) -> Result<SecretBytes, ProxyFault> {
    let text = Zeroizing::new(text.ok_or(INVALID)?);
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| INVALID)?;
    Ok(SecretBytes::new(bytes))
}

/// The answer to Encrypt, for a plaintext of this length and this AAD.
pub(super) fn encrypted(
    body: &[u8],
    length: usize,
    aad: &Aad,
) -> Result<(EncryptedBytes, CiphertextMetadata), ProxyFault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Fields {
        ciphertext: Option<String>,
        initialization_vector: Option<String>,
        authentication_tag: Option<String>,
        ciphertext_metadata: Option<String>,
        ciphertext_data_integrity_value: Option<String>,
    }
    let fields: Fields = object(body)?;
    let ciphertext = decoded(fields.ciphertext)?.expose().to_vec();
    let iv = decoded(fields.initialization_vector)?;
    let iv = InitializationVector::new(iv.expose()).ok_or(INVALID)?;
    let tag = decoded(fields.authentication_tag)?;
    let tag = GcmTag::new(tag.expose()).ok_or(INVALID)?;
    let metadata = match fields.ciphertext_metadata {
        None => CiphertextMetadata::default(),
        text => CiphertextMetadata::new(decoded(text)?.expose()).ok_or(INVALID)?,
    };
    let promised = decoded(fields.ciphertext_data_integrity_value)?;
    let computed = integrity_value(aad, &metadata, iv.as_bytes(), &ciphertext, tag.as_bytes());
    match ciphertext.len() == length && promised.expose() == computed {
        true => Ok((
            EncryptedBytes {
                ciphertext,
                iv,
                tag,
            },
            metadata,
        )),
        false => Err(INVALID),
    }
}

/// The answer to Decrypt, for a ciphertext of this length.
pub(super) fn decrypted(body: &[u8], length: usize) -> Result<SecretBytes, ProxyFault> {
    #[derive(Deserialize)]
    struct Fields {
        plaintext: Option<String>,
    }
    let fields: Fields = object(body)?;
    let plaintext = decoded(fields.plaintext)?;
    match plaintext.len() == length {
        true => Ok(plaintext),
        false => Err(INVALID),
    }
}

/// The answer to GetKeyMetadata: whether KMS can use the key; if not, why.
pub(super) fn key_metadata(body: &[u8]) -> Result<Result<(), &'static str>, ProxyFault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Fields {
        key_spec: String,
        key_usage: Vec<String>,
        key_status: String,
    }
    let fields: Fields = object(body)?;
    let may = |usage: &str| fields.key_usage.iter().any(|have| have == usage);
    if !matches!(fields.key_status.as_str(), "ENABLED" | "DISABLED") || fields.key_spec.is_empty() {
        return Err(INVALID);
    }
    Ok(if fields.key_spec != "AES_256" {
        Err("its key spec is not AES_256")
    } else if !may("ENCRYPT") || !may("DECRYPT") {
        Err("its key usage does not include ENCRYPT and DECRYPT")
    } else if fields.key_status != "ENABLED" {
        Err("its key status is not ENABLED")
    } else {
        Ok(())
    })
}

/// How many external key managers are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) active: i64,
    pub(super) degraded: i64,
    pub(super) unavailable: i64,
}

impl Health {
    /// Whether at least one of them serves.
    pub(super) fn is_serving(self) -> bool {
        self.active + self.degraded > 0
    }
}

/// The answer to GetHealthStatus.
pub(super) fn health(body: &[u8]) -> Result<Health, ProxyFault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "they must be there, and texts")]
    struct Manager {
        id: String,
        model: String,
        health_status: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "they must be there, and texts")]
    struct Fields {
        xks_proxy_fleet_size: u32,
        xks_proxy_vendor: String,
        xks_proxy_model: String,
        ekm_vendor: String,
        ekm_fleet_details: Vec<Manager>,
    }
    let fields: Fields = object(body)?;
    let managers = fields.ekm_fleet_details;
    if fields.xks_proxy_fleet_size == 0 || !(1..=10).contains(&managers.len()) {
        return Err(INVALID);
    }
    let mut health = Health::default();
    for manager in managers {
        match manager.health_status.as_str() {
            "ACTIVE" => health.active += 1,
            "DEGRADED" => health.degraded += 1,
            "UNAVAILABLE" => health.unavailable += 1,
            _ => return Err(INVALID),
        }
    }
    Ok(health)
}

#[cfg(test)]
mod tests;
