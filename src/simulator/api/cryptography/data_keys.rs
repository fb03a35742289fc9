//! GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::simulator::api::cryptography::ciphertexts::check_no_recipient;
use crate::simulator::api::cryptography::double_encryption::{seal, usable_key};
use crate::simulator::callers::caller::{KmsCall, KmsCaller};
use crate::simulator::crypto::context::{EncryptionContext, Pairs};
use crate::simulator::crypto::random;
use crate::simulator::kms::Kms;
use crate::simulator::wire::exception::{Exception, ExceptionKind, check_dry_run, no_store};
use crate::simulator::wire::{self, base64, check_text, need};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataKeyRequest {
    key_id: Option<String>,
    encryption_context: Option<Pairs>,
    number_of_bytes: Option<i64>,
    key_spec: Option<String>,
    recipient: Option<Value>,
    dry_run: Option<bool>,
}

impl DataKeyRequest {
    fn length(&self) -> Result<usize, Exception> {
        match (self.key_spec.as_deref(), self.number_of_bytes) {
            (Some("AES_256"), None) => Ok(32),
            (Some("AES_128"), None) => Ok(16),
            (Some(_), None) => Err(wire::invalid(
                "keySpec",
                "Member must satisfy enum value set: [AES_256, AES_128]",
            )),
            (None, Some(bytes)) => number_of_bytes(bytes),
            _ => Err(ExceptionKind::Validation
                .with_message("Please specify either number of bytes or key spec.")),
        }
    }
}

/// GenerateDataKey, and GenerateDataKeyWithoutPlaintext.
pub(in crate::simulator) async fn data_key(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
    operation: &'static str,
) -> Result<Value, Exception> {
    let request: DataKeyRequest = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let mut plaintext = Zeroizing::new(vec![0; request.length()?]);
    check_no_recipient(request.recipient.as_ref())?;
    let context = EncryptionContext::new(request.encryption_context)?;
    let key = kms.read(|state| usable_key(state, call, id, operation, &context))?;
    check_dry_run(request.dry_run)?;
    random::fill(&mut plaintext)?;
    let blob = seal(kms, call, &key, operation, &plaintext, &context).await?;
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
struct RandomRequest {
    number_of_bytes: Option<i64>,
    custom_key_store_id: Option<String>,
    recipient: Option<Value>,
}

/// GenerateRandom. An external key store does not generate random bytes.
pub(in crate::simulator) fn random(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: RandomRequest = wire::parse(body)?;
    let length = number_of_bytes(*need(&request.number_of_bytes, "numberOfBytes")?)?;
    check_no_recipient(request.recipient.as_ref())?;
    if let Some(id) = &request.custom_key_store_id {
        check_text(id, 1..=64, |_| true, "customKeyStoreId")?;
        let KmsCaller {
            account, region, ..
        } = &call.caller;
        kms.read(|state| {
            let region_state = state.region_state(account, region);
            let store = region_state.and_then(|region_state| region_state.stores.get(id));
            store.map(drop).ok_or_else(|| no_store(id))
        })?;
        return Err(ExceptionKind::UnsupportedOperation
            .with_message("GenerateRandom is not supported in external key stores."));
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    random::fill(&mut bytes)?;
    Ok(json!({ "Plaintext": base64(&bytes) }))
}

fn number_of_bytes(bytes: i64) -> Result<usize, Exception> {
    let fits = usize::try_from(bytes)
        .ok()
        .filter(|bytes| (1..=1024).contains(bytes));
    fits.ok_or_else(|| wire::invalid("numberOfBytes", "Member must have value between 1 and 1024"))
}
