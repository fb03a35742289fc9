//! The canonical request, compared with that of AWS's signer (`aws-sigv4`): the proxy accepts every signature of that signer.
//!
//! Excluded, because signers disagree and KMS does not send it:
//! - a path that ends in a dot segment (that signer keeps a slash for it; botocore and the proxy do not; no path of the API has one);
//! - a target of more than 16 KiB (that signer panics when the encoded target exceeds the length of a URI);
//! - `+` in a query (that signer reads it as a blank, botocore does not), and bytes in a query that are not UTF-8;
//! - tabs inside of header values (that signer keeps them, botocore replaces them by blanks).

use std::sync::LazyLock;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::{HeaderName, HeaderValue};
use xks_proxy::sigv4::{PathForm, fuzzing};

use crate::received::Received;
use crate::setup::KEY_STORE;

/// The longest path with query, in bytes. The encoded form is at most three times as long; the limit of a URI is 65,534.
const LONGEST_TARGET: usize = 16_384;

static IDENTITY: LazyLock<aws_smithy_runtime_api::client::identity::Identity> =
    LazyLock::new(|| Credentials::from_keys(KEY_STORE.id, KEY_STORE.secret, None).into());

pub fn check(data: &[u8]) {
    let Some(mut request) = Received::parse(data).filter(signers_agree) else {
        return;
    };
    // The signer adds these fields.
    request.headers.remove("authorization");
    request.headers.remove("x-amz-date");
    if !request.headers.contains_key("host") {
        let host = HeaderValue::from_static("localhost");
        request.headers.insert("host", host);
    }
    for form in [PathForm::Normalized, PathForm::AsSent] {
        let Some(added) = signed_by_aws(&request, form) else {
            return;
        };
        let mut signed = request.clone();
        signed.headers.extend(added);
        let verified = KEY_STORE.verify(&signed.signed(), form);
        assert!(verified.is_ok(), "{form:?}: {}", described(&signed, form));
    }
}

fn signers_agree(request: &Received) -> bool {
    let query = request.uri.query().unwrap_or_default();
    let is_plain = |value: &HeaderValue| value.to_str().is_ok_and(|text| !text.contains('\t'));
    let path = request.uri.path();
    let length = path.len() + query.len();
    length <= LONGEST_TARGET
        && path.starts_with('/')
        && !path.ends_with("/.")
        && !path.ends_with("/..")
        && !query.contains('+')
        && is_decoded_utf8(query.as_bytes())
        && request.headers.values().all(is_plain)
        && request.headers.get_all("host").iter().count() <= 1
}

/// Returns whether the text is UTF-8 after percent decoding.
fn is_decoded_utf8(text: &[u8]) -> bool {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail
            .get(..2)
            .filter(|digits| first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        decoded.push(
            digits
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .unwrap_or(first),
        );
        rest = if digits.is_some() { &tail[2..] } else { tail };
    }
    std::str::from_utf8(&decoded).is_ok()
}

/// Returns the headers that AWS's signer adds; none if it rejects the request.
fn signed_by_aws(request: &Received, form: PathForm) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut settings = SigningSettings::default();
    settings.uri_path_normalization_mode =
        UriPathNormalizationMode::from(form == PathForm::Normalized);
    let params = SigningParams::builder()
        .identity(&IDENTITY)
        .region(KEY_STORE.scope.region)
        .name(KEY_STORE.scope.service)
        .time(KEY_STORE.now)
        .settings(settings)
        .build()
        .ok()?;
    let uri = format!("https://localhost{}", request.uri.path_and_query()?);
    let headers = request.headers.iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new(
        request.method.as_str(),
        uri,
        headers,
        SignableBody::Bytes(&request.body),
    )
    .ok()?;
    let (instructions, _) = sign(signable, &params.into()).ok()?.into_parts();
    let added = instructions.headers().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    });
    added.collect()
}

/// Returns our canonical request, for the message.
fn described(request: &Received, form: PathForm) -> String {
    let authorization = request.text("authorization").unwrap_or_default();
    let (_, rest) = authorization
        .split_once("SignedHeaders=")
        .unwrap_or_default();
    let (names, _) = rest.split_once(',').unwrap_or_default();
    fuzzing::canonical_request(&request.signed(), names, form).unwrap_or_default()
}
