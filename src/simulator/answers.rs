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
    Aad, CiphertextMetadata, ErrorName, GcmTag, InitializationVector, SealedBytes, integrity_value,
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
) -> Result<(SealedBytes, CiphertextMetadata), ProxyFault> {
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
    let computed = integrity_value(aad, &metadata, &iv, &ciphertext, &tag);
    match ciphertext.len() == length && promised.expose() == computed {
        true => Ok((
            SealedBytes {
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
        Err("it is not a 256-bit AES key")
    } else if !may("ENCRYPT") || !may("DECRYPT") {
        Err("its key usage does not include ENCRYPT and DECRYPT")
    } else if fields.key_status != "ENABLED" {
        Err("it is not enabled")
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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answer(aad: &[u8], length: usize) -> Value {
        let (iv, ciphertext) = ([1; 12], vec![5; length]);
        let value = integrity_value(
            &Aad::new(aad).unwrap(),
            &CiphertextMetadata::new(&[1, 0, 0, 0, 1]).unwrap(),
            &InitializationVector::new(&iv).unwrap(),
            &ciphertext,
            &GcmTag::new(&[3; 16]).unwrap(),
        );
        json!({
            "ciphertext": STANDARD.encode(ciphertext),
            "initializationVector": STANDARD.encode(iv),
            "authenticationTag": STANDARD.encode([3; 16]),
            "ciphertextMetadata": STANDARD.encode([1, 0, 0, 0, 1]),
            "ciphertextDataIntegrityValue": STANDARD.encode(value),
        })
    }

    fn judged(answer: &Value) -> Result<(), ProxyFault> {
        let aad = Aad::new(b"aad").unwrap();
        encrypted(answer.to_string().as_bytes(), 10, &aad).map(drop)
    }

    #[test]
    fn a_good_answer_to_encrypt() {
        assert_eq!(judged(&answer(b"aad", 10)), Ok(()));
        let mut more = answer(b"aad", 10);
        more["something"] = json!("new");
        assert_eq!(judged(&more), Ok(()));
    }

    #[test]
    fn each_rule_of_the_answer_to_encrypt() {
        for (field, value) in [
            ("ciphertext", json!(null)),
            ("ciphertext", json!(7)),
            ("ciphertext", json!("BQUFBQUFBQUFBQ")),
            ("ciphertext", json!(STANDARD.encode([6; 10]))),
            ("initializationVector", json!(STANDARD.encode([1; 8]))),
            ("initializationVector", json!(null)),
            ("authenticationTag", json!(STANDARD.encode([3; 12]))),
            ("ciphertextMetadata", json!(STANDARD.encode([0; 21]))),
            ("ciphertextMetadata", json!("")),
            ("ciphertextDataIntegrityValue", json!(null)),
            (
                "ciphertextDataIntegrityValue",
                json!(STANDARD.encode([0; 32])),
            ),
        ] {
            let mut bad = answer(b"aad", 10);
            bad[field] = value;
            assert_eq!(judged(&bad), Err(INVALID), "{field}");
        }
        assert_eq!(judged(&answer(b"other", 10)), Err(INVALID));
        assert_eq!(
            judged(&answer(b"aad", 11)),
            Err(INVALID),
            "longer than the plaintext"
        );
        assert_eq!(judged(&json!([])), Err(INVALID));
        assert_eq!(
            judged(&json!({"errorName": "InternalException"})),
            Err(INVALID)
        );
    }

    #[test]
    fn errors_are_known_by_name() {
        let fault = |status, body: &str| accepted(status, body.as_bytes()).unwrap_err();
        assert_eq!(
            fault(503, r#"{"errorName":"DependencyTimeoutException"}"#),
            ProxyFault::Named(ErrorName::DependencyTimeout)
        );
        for (status, body) in [
            (500, "<html>"),
            (502, ""),
            (400, "{\"errorName\":\"Strange\"}"),
            (302, ""),
            (204, ""),
            (400, "{\"errorName\":"),
        ] {
            assert_eq!(fault(status, body), INVALID, "{status} {body}");
        }
    }

    #[test]
    fn plaintexts_are_as_long_as_their_ciphertexts() {
        let long = |body: &str| decrypted(body.as_bytes(), 2).map(|p| p.len());
        assert_eq!(long(r#"{"plaintext":"aGk="}"#), Ok(2));
        for bad in [
            r#"{"plaintext":"aGkh"}"#,
            r#"{"plaintext":"aGk"}"#,
            "{}",
            "<p>",
            "",
        ] {
            assert_eq!(long(bad), Err(INVALID), "{bad}");
        }
    }

    #[test]
    fn keys_that_kms_can_use() {
        let usable = |spec: &str, usage: &[&str], status: &str| {
            let body = json!({"keySpec": spec, "keyUsage": usage, "keyStatus": status});
            key_metadata(body.to_string().as_bytes())
        };
        let both = ["DECRYPT", "ENCRYPT", "SIGN"];
        assert_eq!(usable("AES_256", &both, "ENABLED"), Ok(Ok(())));
        assert!(usable("AES_128", &both, "ENABLED").unwrap().is_err());
        assert!(usable("AES_256", &["ENCRYPT"], "ENABLED").unwrap().is_err());
        assert!(usable("AES_256", &["DECRYPT"], "ENABLED").unwrap().is_err());
        assert!(usable("AES_256", &both, "DISABLED").unwrap().is_err());
        assert_eq!(usable("AES_256", &both, "MAYBE"), Err(INVALID));
        assert_eq!(key_metadata(b"{\"keySpec\":\"AES_256\"}"), Err(INVALID));
    }

    #[test]
    fn health_counts_the_managers() {
        let managers = |states: &[&str]| {
            let details: Vec<_> = states
                .iter()
                .map(|s| json!({"id": "a", "model": "m", "healthStatus": s}))
                .collect();
            json!({"xksProxyFleetSize": 1, "xksProxyVendor": "v", "xksProxyModel": "m", "ekmVendor": "e", "ekmFleetDetails": details})
        };
        let read = |body: &Value| health(body.to_string().as_bytes());
        let two = read(&managers(&["ACTIVE", "UNAVAILABLE"])).unwrap();
        assert_eq!(
            two,
            Health {
                active: 1,
                degraded: 0,
                unavailable: 1
            }
        );
        assert!(two.is_serving() && !read(&managers(&["UNAVAILABLE"])).unwrap().is_serving());
        assert!(read(&managers(&["DEGRADED"])).unwrap().is_serving());
        for bad in [
            managers(&[]),
            managers(&["WELL"]),
            managers(&["ACTIVE"; 11]),
            json!({}),
        ] {
            assert_eq!(read(&bad), Err(INVALID));
        }
        let mut none = managers(&["ACTIVE"]);
        none["xksProxyFleetSize"] = json!(0);
        assert_eq!(read(&none), Err(INVALID));
    }
}
