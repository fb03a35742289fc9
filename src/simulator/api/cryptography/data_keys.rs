//! GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::simulator::api::cryptography::ciphertexts::check_no_recipient;
use crate::simulator::api::cryptography::double_encryption::{seal, usable};
use crate::simulator::callers::caller::{Call, Caller};
use crate::simulator::crypto::context::{Context, Pairs};
use crate::simulator::crypto::random;
use crate::simulator::wire::exception::{Exception, Kind, no_store, rehearsed};
use crate::simulator::wire::{self, base64, check_text, need};
use crate::simulator::world::World;

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
pub(in crate::simulator) async fn data_key(
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
struct Random {
    number_of_bytes: Option<i64>,
    custom_key_store_id: Option<String>,
    recipient: Option<Value>,
}

/// GenerateRandom. An external key store makes no randomness.
pub(in crate::simulator) fn random(
    world: &World,
    call: &Call,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: Random = wire::parse(body)?;
    let length = number_of_bytes(*need(&request.number_of_bytes, "numberOfBytes")?)?;
    check_no_recipient(request.recipient.as_ref())?;
    if let Some(id) = &request.custom_key_store_id {
        check_text(id, 1..=64, |_| true, "customKeyStoreId")?;
        let Caller {
            account, region, ..
        } = &call.caller;
        world.read(|state| {
            let place = state.place(account, region);
            let store = place.and_then(|place| place.stores.get(id));
            store.map(drop).ok_or_else(|| no_store(id))
        })?;
        return Err(Kind::UnsupportedOperation
            .because("GenerateRandom is not supported in external key stores."));
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
