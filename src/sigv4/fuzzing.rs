//! Private items of this module for the fuzz targets in `tests/fuzz`: only with the feature `fuzzing`.

use super::authorization::Authorization;
use super::canonical::{PathForm, SignedRequest};
use super::credential::{AccessKeyId, Credential};
use crate::secret::Secret;

/// Returns the canonical request with this header list, or none if a listed header is missing, repeated or not text.
pub fn canonical_request(
    request: &SignedRequest<'_>,
    signed_headers: &str,
    form: PathForm,
) -> Option<String> {
    request.canonical(signed_headers, form).ok()
}

/// Parses an `Authorization` header and writes it again, with `, ` between its parts. None if it is malformed.
pub fn rewritten_authorization(header: &str) -> Option<String> {
    let parsed = Authorization::parse(header).ok()?;
    let (id, scope, names) = (parsed.access_key_id, parsed.scope, parsed.signed_headers);
    let mut text =
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature=");
    crate::hex::push(&mut text, &parsed.signature);
    Some(text)
}

/// Makes a credential of any id and secret: those of AWS's published vectors break the rules of external key stores.
pub fn credential(id: &str, secret: &str) -> Credential {
    let id = AccessKeyId::unchecked(id);
    Credential::unchecked(id, Secret::new(secret.to_owned()))
}
