//! Access to private items of this module for the fuzz targets in `tests/fuzz`; only with the feature `fuzzing`.

use super::authorization::Authorization;
use super::canonical::{PathForm, SignedRequest};
use super::credential::{AccessKeyId, Credential};
use crate::secret::Secret;

/// Returns the canonical request with this header list; `None` if a listed header field is missing, repeated or not text.
pub fn canonical_request(
    request: &SignedRequest<'_>,
    signed_headers: &str,
    form: PathForm,
) -> Option<String> {
    request.canonical(signed_headers, form).ok()
}

/// Parses an `Authorization` header and formats it again, with `, ` between its parts. `None` if it is malformed.
pub fn rewritten_authorization(header: &str) -> Option<String> {
    let parsed = Authorization::parse(header).ok()?;
    let (id, scope, names) = (parsed.access_key_id, parsed.scope, parsed.signed_headers);
    let mut text =
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature=");
    crate::hex::push(&mut text, &parsed.signature);
    Some(text)
}

/// Creates a credential with any id and secret. Those of AWS's published test vectors break the rules of external key stores.
pub fn credential(id: &str, secret: &str) -> Credential {
    let id = AccessKeyId::unchecked(id);
    Credential::unchecked(id, Secret::new(secret.to_owned()))
}
