//! The four response bodies (XKS API, "Operations").

use serde::{Serialize, Serializer};

use super::bytes::{CiphertextMetadata, GcmTag, to_base64};
use crate::iv::Iv;
use crate::secret::SecretBytes;

/// The result of an encryption.
#[derive(Debug)]
pub struct EncryptedBytes {
    /// Exactly as long as the plaintext.
    pub ciphertext: Vec<u8>,
    /// 12 or 16 bytes.
    pub iv: Iv,
    /// 16 bytes.
    pub tag: GcmTag,
}

/// The response to Encrypt.
#[derive(Debug)]
pub struct EncryptResponse {
    /// Ciphertext, IV and tag.
    pub encrypted: EncryptedBytes,
    /// The metadata that is bound to the ciphertext.
    pub ciphertext_metadata: CiphertextMetadata,
    /// The CDIV, if the request requires it.
    pub integrity_value: Option<[u8; 32]>,
}

/// The response to Decrypt.
#[derive(Debug)]
pub struct DecryptResponse {
    /// The plaintext.
    pub plaintext: SecretBytes,
}

/// The response to GetKeyMetadata.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyMetadataResponse {
    /// The type and length of the key.
    pub key_spec: KeySpec,
    /// The operations that the key allows: at most ten.
    pub key_usage: Vec<KeyUsage>,
    /// The status of the key in the configuration.
    pub key_status: KeyStatus,
}

/// The type and length of a key. KMS accepts only `AES_256`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySpec {
    /// An AES key with this number of bits.
    Aes(u32),
    /// Another key, with the name of its type.
    Other(String),
}

impl Serialize for KeySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Aes(bits) => serializer.collect_str(&format_args!("AES_{bits}")),
            Self::Other(name) => serializer.serialize_str(name),
        }
    }
}

/// An operation that a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "each is the PKCS#11 attribute of its name")]
pub enum KeyUsage {
    Encrypt,
    Decrypt,
    Sign,
    Verify,
    Wrap,
    Unwrap,
    Derive,
}

/// The status of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KeyStatus {
    /// It may be used.
    Enabled,
    /// The configuration disables it or its key store.
    Disabled,
}

/// The response to GetHealthStatus.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthResponse {
    /// The number of proxies, at least 1.
    pub xks_proxy_fleet_size: u32,
    /// The vendor of the proxy.
    pub xks_proxy_vendor: String,
    /// The product name of the proxy.
    pub xks_proxy_model: String,
    /// The vendor of the HSMs.
    pub ekm_vendor: String,
    /// The HSMs: 1 to 10.
    pub ekm_fleet_details: Vec<EkmFleetDetail>,
}

/// One HSM in the response to GetHealthStatus.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EkmFleetDetail {
    /// The name in the configuration.
    pub id: String,
    /// The product name and firmware.
    pub model: String,
    /// The state.
    pub health_status: EkmHealth,
}

/// The state of an HSM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EkmHealth {
    /// Healthy.
    Active,
    /// Unhealthy, but still serving.
    Degraded,
    /// Not serving.
    Unavailable,
}

impl EncryptResponse {
    /// Returns the JSON body.
    pub fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            ciphertext: String,
            initialization_vector: String,
            authentication_tag: String,
            #[serde(skip_serializing_if = "String::is_empty")]
            ciphertext_metadata: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            ciphertext_data_integrity_value: Option<String>,
        }
        json(&Body {
            ciphertext: to_base64(&self.encrypted.ciphertext),
            initialization_vector: to_base64(self.encrypted.iv.as_bytes()),
            authentication_tag: to_base64(self.encrypted.tag.as_bytes()),
            ciphertext_metadata: to_base64(self.ciphertext_metadata.as_bytes()),
            ciphertext_data_integrity_value: self.integrity_value.map(|value| to_base64(&value)),
        })
    }
}

impl DecryptResponse {
    /// Returns the JSON body. It contains the plaintext, so it may only be sent to the client.
    pub fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            plaintext: &'a str,
        }
        let plaintext = zeroize::Zeroizing::new(to_base64(self.plaintext.expose()));
        json(&Body {
            plaintext: &plaintext,
        })
    }
}

impl KeyMetadataResponse {
    /// Returns the JSON body.
    pub fn body(&self) -> Vec<u8> {
        json(self)
    }
}

impl HealthResponse {
    /// Returns the JSON body.
    pub fn body(&self) -> Vec<u8> {
        json(self)
    }
}

/// Returns the JSON text. Serializing strings and enums cannot fail.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::bytes::KeyVersion;
    use super::*;

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn the_encrypt_response_has_the_names_of_the_api() {
        let mut response = EncryptResponse {
            encrypted: EncryptedBytes {
                ciphertext: vec![1, 2, 3],
                iv: Iv::new(&[0; 12]).unwrap(),
                tag: GcmTag::new(&[0; 16]).unwrap(),
            },
            ciphertext_metadata: CiphertextMetadata::of_version(KeyVersion::FIRST),
            integrity_value: Some([0; 32]),
        };
        assert_eq!(
            text(response.body()),
            concat!(
                r#"{"ciphertext":"AQID","initializationVector":"AAAAAAAAAAAAAAAA","#,
                r#""authenticationTag":"AAAAAAAAAAAAAAAAAAAAAA==","ciphertextMetadata":"AQAAAAE=","#,
                r#""ciphertextDataIntegrityValue":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#
            )
        );
        response.integrity_value = None;
        assert!(!text(response.body()).contains("Integrity"));
    }

    #[test]
    fn the_decrypt_and_metadata_responses_have_the_names_of_the_api() {
        let plaintext = SecretBytes::new(b"hi".to_vec());
        assert_eq!(
            text(DecryptResponse { plaintext }.body()),
            r#"{"plaintext":"aGk="}"#
        );
        let metadata = KeyMetadataResponse {
            key_spec: KeySpec::Aes(256),
            key_usage: vec![KeyUsage::Encrypt, KeyUsage::Decrypt, KeyUsage::Unwrap],
            key_status: KeyStatus::Disabled,
        };
        assert_eq!(
            text(metadata.body()),
            r#"{"keySpec":"AES_256","keyUsage":["ENCRYPT","DECRYPT","UNWRAP"],"keyStatus":"DISABLED"}"#
        );
    }

    #[test]
    fn the_health_response_has_the_names_of_the_api() {
        let health = HealthResponse {
            xks_proxy_fleet_size: 1,
            xks_proxy_vendor: "v".into(),
            xks_proxy_model: "m".into(),
            ekm_vendor: "e".into(),
            ekm_fleet_details: vec![EkmFleetDetail {
                id: "hsm-a".into(),
                model: "SoftHSM v2".into(),
                health_status: EkmHealth::Active,
            }],
        };
        assert_eq!(
            text(health.body()),
            concat!(
                r#"{"xksProxyFleetSize":1,"xksProxyVendor":"v","xksProxyModel":"m","ekmVendor":"e","#,
                r#""ekmFleetDetails":[{"id":"hsm-a","model":"SoftHSM v2","healthStatus":"ACTIVE"}]}"#
            )
        );
    }
}
