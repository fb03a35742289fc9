//! Checks of the responses of a proxy. A response that violates the XKS API is an invalid response, whatever its status is.
//!
//! # Invariants
//! - A ciphertext is accepted only with a correct CDIV over exactly the values that KMS stores (XKS API, section 5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::iv::Iv;
use crate::secret::SecretBytes;
use crate::simulator::proxy::errors::ProxyError;
use crate::xks::{Aad, CiphertextMetadata, EncryptedBytes, ErrorName, GcmTag, integrity_value};

const INVALID: ProxyError = ProxyError::InvalidResponse;

/// Returns the body of a response with status 200, otherwise the error.
pub(in crate::simulator) fn accepted(status: u16, body: &[u8]) -> Result<&[u8], ProxyError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ErrorBody {
        error_name: String,
    }
    if status == 200 {
        return Ok(body);
    }
    let error_body: ErrorBody = object(body)?;
    let known = ErrorName::ALL
        .into_iter()
        .find(|name| name.as_str() == error_body.error_name);
    Err(known.map_or(INVALID, ProxyError::Named))
}

/// Parses a JSON object. serde_json alone would accept an array as well.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProxyError> {
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|_| INVALID),
        _ => Err(INVALID),
    }
}

fn decoded(text: Option<String>) -> Result<SecretBytes, ProxyError> {
    let text = Zeroizing::new(text.ok_or(INVALID)?);
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| INVALID)?;
    Ok(SecretBytes::new(bytes))
}

/// Parses the response to Encrypt, for a plaintext of this length and this AAD.
pub(in crate::simulator) fn encrypted(
    body: &[u8],
    length: usize,
    aad: &Aad,
) -> Result<(EncryptedBytes, CiphertextMetadata), ProxyError> {
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
    let iv = Iv::new(iv.expose()).ok_or(INVALID)?;
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

/// Parses the response to Decrypt, for a ciphertext of this length.
pub(in crate::simulator) fn decrypted(
    body: &[u8],
    length: usize,
) -> Result<SecretBytes, ProxyError> {
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

/// Parses the response to GetKeyMetadata. The inner result is the reason why KMS cannot use the key, if any.
pub(in crate::simulator) fn key_metadata(
    body: &[u8],
) -> Result<Result<(), &'static str>, ProxyError> {
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

/// The number of external key managers in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::simulator) struct HealthCounts {
    pub(in crate::simulator) active: i64,
    pub(in crate::simulator) degraded: i64,
    pub(in crate::simulator) unavailable: i64,
}

impl HealthCounts {
    /// Returns whether at least one of them is usable.
    pub(in crate::simulator) fn is_serving(self) -> bool {
        self.active + self.degraded > 0
    }
}

/// Parses the response to GetHealthStatus.
pub(in crate::simulator) fn health(body: &[u8]) -> Result<HealthCounts, ProxyError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "the members must be present and texts")]
    struct Manager {
        id: String,
        model: String,
        health_status: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "the members must be present and texts")]
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
    let mut health = HealthCounts::default();
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
