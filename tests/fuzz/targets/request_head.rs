//! A request head with `Authorization`, and the body after it.
//!
//! - An accepted request has the signature that AWS's primitives compute over its canonical request.
//! - A request of our signer is accepted over HTTP/1.1 and HTTP/2, and rejected with any bit of a signed part changed.

use std::sync::LazyLock;

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use xks_proxy::sigv4::{PathForm, SignedRequest, Signer, fuzzing};
use xks_proxy::xks::Route;

use crate::received::Received;
use crate::setup::{KEY_STORE, Setup, VECTORS};

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let Setup { scope, .. } = &*KEY_STORE;
    Signer::new(KEY_STORE.credential(), scope.region, scope.service)
});

/// The fields that `SIGNER` signs, and the signature.
const SIGNED: [&str; 4] = ["host", "content-type", "x-amz-date", "authorization"];

pub fn check(data: &[u8]) {
    let Some(request) = Received::parse(data) else {
        return;
    };
    for setup in [&*KEY_STORE, &*VECTORS] {
        if setup
            .verify(&request.signed(), PathForm::Normalized)
            .is_ok()
        {
            assert_eq!(signature(&request), expected_signature(setup, &request));
        }
    }
    let choice = crate::choice_of(data);
    let signed = Signed::new(&request);
    signed.verifies_as_signed();
    signed.verifies_over_http_2();
    for header in SIGNED {
        signed.needs_each_bit_of_header(header, choice);
    }
    signed.needs_each_bit_of_body(choice);
    signed.needs_each_bit_of_path(choice);
}

/// Returns `Authorization` as parsed and written again. Parsing that text must not change it.
fn authorization(request: &Received) -> String {
    let header = request.text("authorization").expect("it was verified");
    let written = fuzzing::rewritten_authorization(header).expect("it was verified");
    assert_eq!(
        fuzzing::rewritten_authorization(&written).as_deref(),
        Some(written.as_str())
    );
    written
}

fn signature(request: &Received) -> String {
    let authorization = authorization(request);
    let (_, signature) = authorization.rsplit_once('=').expect("it was parsed");
    signature.to_owned()
}

/// Computes the signature by the rules of AWS Signature Version 4 from the canonical request.
fn expected_signature(setup: &Setup, request: &Received) -> String {
    let authorization = authorization(request);
    let between = |start: &str, end: &str| {
        let (_, rest) = authorization.split_once(start).expect("it was parsed");
        rest.split_once(end).expect("it was parsed").0.to_owned()
    };
    let names = between("SignedHeaders=", ", ");
    let canonical = fuzzing::canonical_request(&request.signed(), &names, PathForm::Normalized)
        .expect("it was verified");
    let date = request.text("x-amz-date").expect("it was verified");
    let (day, _) = date.split_once('T').expect("it was verified");
    let (region, service) = (setup.scope.region, setup.scope.service);
    let digest: String = Sha256::digest(canonical)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{service}/aws4_request\n{digest}");
    // Only the day of the time matters. `setup.now` is at most five minutes from it.
    let key = generate_signing_key(setup.secret, day_start(day), region, service);
    calculate_signature(key, text.as_bytes())
}

/// Returns midnight, UTC, of a day in the form `yyyymmdd`.
fn day_start(day: &str) -> std::time::SystemTime {
    let days = [KEY_STORE.now, VECTORS.now].into_iter().flat_map(|now| {
        let day = std::time::Duration::from_secs(86_400);
        [now - day, now, now + day]
    });
    days.into_iter()
        .find(|time| day_of(*time) == day)
        .expect("verified requests are at most five minutes away from the clock")
}

fn day_of(time: std::time::SystemTime) -> String {
    let headers = SIGNER
        .headers("h", "/", b"", time)
        .expect("the time has four digits");
    headers["x-amz-date"].to_str().expect("it is a date")[..8].to_owned()
}

/// A request of our signer with the path, host and body of the input.
struct Signed<'a> {
    path: &'a str,
    headers: HeaderMap,
    body: &'a [u8],
}

impl<'a> Signed<'a> {
    fn new(request: &'a Received) -> Self {
        let (path, body) = (request.uri.path(), request.body.as_slice());
        let host = request.text("host").unwrap_or("localhost");
        let headers = SIGNER.headers(host, path, body, KEY_STORE.now);
        Self {
            path,
            headers: headers.expect("the host came from a header"),
            body,
        }
    }

    fn request(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: "POST",
            path: self.path,
            query: None,
            headers: &self.headers,
            authority: None,
            body: self.body,
        }
    }

    fn verifies_as_signed(&self) {
        assert!(is_verified(&self.request()), "our own signature");
        for method in ["PUT", "post", "POST "] {
            let other = SignedRequest {
                method,
                ..self.request()
            };
            assert!(!is_verified(&other), "{method}");
        }
        let query = Some("a");
        assert!(
            !is_verified(&SignedRequest {
                query,
                ..self.request()
            }),
            "another query"
        );
    }

    fn verifies_over_http_2(&self) {
        let host = self.headers["host"].to_str().unwrap_or_default();
        let Ok(authority) = host.parse::<Authority>() else {
            return;
        };
        let mut headers = self.headers.clone();
        headers.remove("host");
        let request = SignedRequest {
            headers: &headers,
            authority: Some(authority.as_str()),
            ..self.request()
        };
        assert!(is_verified(&request), "the authority stands for host");
        assert!(
            !is_verified(&SignedRequest {
                authority: None,
                ..request
            }),
            "no host"
        );
    }

    fn needs_each_bit_of_header(&self, name: &'static str, choice: u64) {
        let Some(value) = flipped(self.headers[name].as_bytes(), choice) else {
            return;
        };
        let Ok(value) = HeaderValue::from_bytes(&value) else {
            return;
        };
        let mut headers = self.headers.clone();
        headers.insert(name, value);
        let headers = &headers;
        assert!(
            !is_verified(&SignedRequest {
                headers,
                ..self.request()
            }),
            "another {name}"
        );
    }

    fn needs_each_bit_of_body(&self, choice: u64) {
        if let Some(body) = flipped(self.body, choice) {
            let body = &body;
            assert!(
                !is_verified(&SignedRequest {
                    body,
                    ..self.request()
                }),
                "another body"
            );
        }
    }

    /// A different path is verified only if it is the same path in canonical form. No two paths of the API are.
    fn needs_each_bit_of_path(&self, choice: u64) {
        let Some(path) =
            flipped(self.path.as_bytes(), choice).and_then(|path| String::from_utf8(path).ok())
        else {
            return;
        };
        let other = SignedRequest {
            path: &path,
            ..self.request()
        };
        let canonical = |request| fuzzing::canonical_request(request, "host", PathForm::Normalized);
        let is_same = canonical(&other) == canonical(&self.request());
        assert_eq!(is_verified(&other), is_same, "{path}");
        let is_api = |path| Route::parse(path).is_ok();
        assert!(!(is_same && is_api(self.path) && is_api(&path)), "{path}");
    }
}

fn is_verified(request: &SignedRequest<'_>) -> bool {
    KEY_STORE.verify(request, PathForm::Normalized).is_ok()
}

/// Returns the bytes with one bit changed; none if there are no bytes.
fn flipped(bytes: &[u8], choice: u64) -> Option<Vec<u8>> {
    let bits = bytes.len() as u64 * 8;
    let bit = choice.checked_rem(bits)?;
    let mut flipped = bytes.to_vec();
    flipped[(bit / 8) as usize] ^= 1 << (bit % 8);
    Some(flipped)
}
