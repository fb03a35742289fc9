//! The path of a request, and the names in it.
//!
//! - A parsed path equals the text written from its parts, byte by byte, and its own canonical form.
//! - Prefixes and key ids have only the allowed characters and lengths.

use http::{HeaderMap, Uri};
use xks_proxy::sigv4::{PathForm, SignedRequest, fuzzing};
use xks_proxy::xks::{ExternalKeyId, PathPrefix, Route};

/// The text between prefix and operation (XKS API, "URI path").
const ROOT: &str = "/kms/xks/v1";

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(route) = Route::parse(text) {
        assert_eq!(written(&route), text);
        assert!(text.len() <= 256);
        assert!(PathPrefix::parse(route.prefix).is_ok());
        let uri: Uri = text.parse().expect("a path of the API is a URI");
        assert_eq!((uri.path(), uri.query()), (text, None));
        assert_eq!(canonical(text), text);
    }
    if let Ok(prefix) = PathPrefix::parse(text) {
        assert_eq!(prefix.as_str(), text);
        assert!(prefix.uri_path().len() <= 128 && prefix.uri_path().ends_with(ROOT));
        assert!(Route::parse(&format!("{text}{ROOT}/health")).is_ok());
    }
    if let Some(id) = ExternalKeyId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!((1..=128).contains(&text.len()) && !text.contains(['/', '%']));
        assert!(Route::parse(&format!("{ROOT}/keys/{text}/encrypt")).is_ok());
    }
}

fn written(route: &Route<'_>) -> String {
    let (prefix, operation) = (route.prefix, route.operation.as_str());
    match &route.key_id {
        Some(id) => format!("{prefix}{ROOT}/keys/{id}/{operation}"),
        None => format!("{prefix}{ROOT}/{operation}"),
    }
}

fn canonical(path: &str) -> String {
    let mut headers = HeaderMap::new();
    headers.insert("host", "h".parse().expect("it is a header"));
    let request = SignedRequest {
        method: "POST",
        path,
        query: None,
        headers: &headers,
        authority: None,
        body: b"",
    };
    let text = fuzzing::canonical_request(&request, "host", PathForm::Normalized);
    let text = text.expect("the header is there");
    text.lines().nth(1).expect("it has a path").to_owned()
}
