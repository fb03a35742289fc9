//! Parses the four request bodies (XKS API, "Operations") from JSON into values within their limits.
//!
//! # Invariants
//! - No error contains text of the body. JSON errors are reported by kind and position only, because the messages of the JSON library quote the wrong value.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::error::Category;

use super::bytes::{Aad, Base64Field, CiphertextMetadata, GcmTag, MAX_PLAINTEXT, UnboundedAad};
use super::fault::{Fault, FaultKind};
use super::metadata::{MetadataFields, RequestMetadata, Required};
use crate::iv::Iv;
use crate::secret::SecretBytes;

/// A GetHealthStatus request.
#[derive(Clone, Debug)]
pub struct HealthRequest {
    /// The metadata of the request.
    pub metadata: RequestMetadata,
}

/// A GetKeyMetadata request.
#[derive(Clone, Debug)]
pub struct KeyMetadataRequest {
    /// The metadata of the request.
    pub metadata: RequestMetadata,
}

/// An Encrypt request.
#[derive(Clone, Debug)]
pub struct EncryptRequest {
    /// The metadata of the request.
    pub metadata: RequestMetadata,
    /// At most [`MAX_PLAINTEXT`] bytes, possibly none.
    pub plaintext: SecretBytes,
    /// Empty when absent.
    pub aad: Aad,
    /// True if `ciphertextDataIntegrityValueAlgorithm` requests a CDIV (SHA_256).
    pub wants_integrity_value: bool,
}

/// A Decrypt request.
#[derive(Clone, Debug)]
pub struct DecryptRequest {
    /// The metadata of the request.
    pub metadata: RequestMetadata,
    /// The ciphertext of at most [`MAX_PLAINTEXT`] bytes, possibly none, and the 16 bytes of the tag behind it.
    pub ciphertext_and_tag: Vec<u8>,
    /// 12 or 16 bytes.
    pub iv: Iv,
    /// `None` when absent. Only for ciphertexts of AWS's sample proxy does an absent AAD differ from an empty one.
    pub aad: Option<Aad>,
    /// Empty when absent.
    pub ciphertext_metadata: CiphertextMetadata,
}

impl HealthRequest {
    /// Parses the body of a GetHealthStatus request.
    ///
    /// # Errors
    /// A [`Fault`] with the name ValidationException.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let needed = Required {
            principal: false,
            key_arn: false,
        };
        let metadata = metadata_only(body, needed)?;
        Ok(Self { metadata })
    }
}

impl KeyMetadataRequest {
    /// Parses the body of a GetKeyMetadata request.
    ///
    /// # Errors
    /// A [`Fault`] with the name ValidationException.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let needed = Required {
            principal: true,
            key_arn: false,
        };
        let metadata = metadata_only(body, needed)?;
        Ok(Self { metadata })
    }
}

/// The optional metadata fields that Encrypt and Decrypt require.
const CRYPTOGRAPHIC: Required = Required {
    principal: true,
    key_arn: true,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EncryptFields {
    request_metadata: Option<MetadataFields>,
    plaintext: Option<Base64Field<SecretBytes>>,
    encryption_algorithm: Option<String>,
    additional_authenticated_data: Option<Base64Field<UnboundedAad>>,
    ciphertext_data_integrity_value_algorithm: Option<String>,
}

impl EncryptRequest {
    /// Parses the body of an Encrypt request.
    ///
    /// # Errors
    /// A [`Fault`] with the name ValidationException, or UnsupportedOperationException for an unknown algorithm or a value that exceeds its maximum.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let fields: EncryptFields = parse_json(body)?;
        let metadata = required(fields.request_metadata, "requestMetadata")?;
        let plaintext = decoded(required(fields.plaintext, "plaintext")?, "plaintext")?;
        check_algorithm(fields.encryption_algorithm)?;
        let integrity = fields.ciphertext_data_integrity_value_algorithm.as_deref();
        if !matches!(integrity, None | Some("SHA_256")) {
            let field = "ciphertextDataIntegrityValueAlgorithm";
            return Err(FaultKind::AlgorithmUnsupported(field).into());
        }
        Ok(Self {
            metadata: metadata.into_metadata(CRYPTOGRAPHIC)?,
            plaintext: within_maximum(plaintext.len(), "plaintext").map(|()| plaintext)?,
            aad: aad(fields.additional_authenticated_data)?.unwrap_or_default(),
            wants_integrity_value: integrity.is_some(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DecryptFields {
    request_metadata: Option<MetadataFields>,
    ciphertext: Option<Base64Field<Vec<u8>>>,
    initialization_vector: Option<Base64Field<Vec<u8>>>,
    authentication_tag: Option<Base64Field<Vec<u8>>>,
    encryption_algorithm: Option<String>,
    additional_authenticated_data: Option<Base64Field<UnboundedAad>>,
    ciphertext_metadata: Option<Base64Field<Vec<u8>>>,
}

impl DecryptRequest {
    /// Parses the body of a Decrypt request.
    ///
    /// # Errors
    /// A [`Fault`] with the name ValidationException; UnsupportedOperationException for an unknown algorithm or a value that exceeds its maximum;
    /// InvalidCiphertextException for an IV, a tag or metadata with a wrong length.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let fields: DecryptFields = parse_json(body)?;
        let metadata = required(fields.request_metadata, "requestMetadata")?;
        let mut ciphertext = decoded(required(fields.ciphertext, "ciphertext")?, "ciphertext")?;
        let iv = decoded(
            required(fields.initialization_vector, "initializationVector")?,
            "initializationVector",
        )?;
        let tag = decoded(
            required(fields.authentication_tag, "authenticationTag")?,
            "authenticationTag",
        )?;
        check_algorithm(fields.encryption_algorithm)?;
        let metadata = metadata.into_metadata(CRYPTOGRAPHIC)?;
        let aad = aad(fields.additional_authenticated_data)?;
        within_maximum(ciphertext.len(), "ciphertext")?;
        let iv = Iv::new(&iv)
            .ok_or_else(|| bad_ciphertext("initializationVector is not 12 or 16 bytes"))?;
        let tag =
            GcmTag::new(&tag).ok_or_else(|| bad_ciphertext("authenticationTag is not 16 bytes"))?;
        ciphertext.extend_from_slice(tag.as_bytes());
        Ok(Self {
            metadata,
            ciphertext_and_tag: ciphertext,
            iv,
            aad,
            ciphertext_metadata: ciphertext_metadata(fields.ciphertext_metadata)?,
        })
    }
}

fn metadata_only(body: &[u8], needed: Required) -> Result<RequestMetadata, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Fields {
        request_metadata: Option<MetadataFields>,
    }
    let fields: Fields = parse_json(body)?;
    required(fields.request_metadata, "requestMetadata")?.into_metadata(needed)
}

fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    // The JSON library would also accept an array for a struct, with its items in the order of the fields.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Fault::because(
            FaultKind::BodyMalformed,
            "the body is not a JSON object",
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        let problem = match error.classify() {
            Category::Syntax => "is not JSON",
            Category::Eof => "ends too early for JSON",
            Category::Data => "has a field of a wrong type, or twice",
            Category::Io => "could not be read",
        };
        let (line, column) = (error.line(), error.column());
        let reason = format!("the body {problem} (line {line}, column {column})");
        Fault::because(FaultKind::BodyMalformed, reason)
    })
}

fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Fault> {
    value.ok_or_else(|| FaultKind::FieldMissing(field).into())
}

fn decoded<T>(value: Base64Field<T>, field: &'static str) -> Result<T, Fault> {
    match value {
        Base64Field::Valid(bytes) => Ok(bytes),
        Base64Field::Invalid => Err(Fault::because(
            FaultKind::FieldInvalid(field),
            format!("{field} is not canonical Base64"),
        )),
    }
}

fn within_maximum(length: usize, field: &'static str) -> Result<(), Fault> {
    match length <= MAX_PLAINTEXT {
        true => Ok(()),
        false => Err(FaultKind::FieldTooLong(field).into()),
    }
}

fn check_algorithm(value: Option<String>) -> Result<(), Fault> {
    let field = "encryptionAlgorithm";
    match required(value, field)?.as_str() {
        "AES_GCM" => Ok(()),
        _ => Err(FaultKind::AlgorithmUnsupported(field).into()),
    }
}

fn aad(value: Option<Base64Field<UnboundedAad>>) -> Result<Option<Aad>, Fault> {
    let field = "additionalAuthenticatedData";
    let Some(value) = value else {
        return Ok(None);
    };
    let aad = decoded(value, field)?.bounded();
    aad.map(Some)
        .ok_or_else(|| FaultKind::FieldTooLong(field).into())
}

fn ciphertext_metadata(value: Option<Base64Field<Vec<u8>>>) -> Result<CiphertextMetadata, Fault> {
    match value {
        None => Ok(CiphertextMetadata::default()),
        Some(value) => CiphertextMetadata::new(&decoded(value, "ciphertextMetadata")?)
            .ok_or_else(|| bad_ciphertext("ciphertextMetadata is longer than 20 bytes")),
    }
}

fn bad_ciphertext(reason: &'static str) -> Fault {
    Fault::because(FaultKind::CiphertextInvalid, reason)
}

#[cfg(test)]
mod tests;
