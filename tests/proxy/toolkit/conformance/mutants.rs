//! The mutants. Each breaks one rule, and names the case that must detect it.

use serde_json::{Value, json};

use crate::harness::http::Request;
use crate::harness::wire::{base64, bytes};

/// The change of a mutant.
#[derive(Clone, Copy)]
pub enum Change {
    /// Changes responses.
    Answers(fn(&mut Reply)),
    /// Changes responses, depending on the request.
    Exchanges(fn(&Request, &mut Reply)),
    /// Changes requests, which are signed again.
    Requests(fn(&mut Request)),
    /// Answers a ClientHello with these bytes instead of TLS.
    Hello(&'static [u8]),
}

/// A response that can be changed.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns the whole response, with its current length.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Mutant\r\n", self.status);
        let fields = self
            .headers
            .iter()
            .filter(|(name, _)| name != "content-length");
        head.extend(fields.map(|(name, value)| format!("{name}: {value}\r\n")));
        head += &format!("content-length: {}\r\n\r\n", self.body.len());
        [head.into_bytes(), self.body.clone()].concat()
    }

    fn json(&mut self, change: impl FnOnce(&mut Value)) {
        if let Ok(mut body) = serde_json::from_slice(&self.body) {
            change(&mut body);
            self.body = body.to_string().into_bytes();
        }
    }

    fn error(&mut self, status: u16, name: &str) {
        self.status = status;
        self.body = json!({ "errorName": name }).to_string().into_bytes();
    }

    /// Changes the bytes of a Base64 field of a success.
    fn field(&mut self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        self.json(|body| {
            if body[name].is_string() {
                let mut value = bytes(body, name);
                change(&mut value);
                body[name] = base64(value).into();
            }
        });
    }
}

fn without(reply: &mut Reply, field: &str) {
    reply.json(|body| drop(body.as_object_mut().unwrap().remove(field)));
}

/// Changes the body of a request, if it is JSON.
fn asked(request: &mut Request, change: impl FnOnce(&mut Value)) {
    if let Ok(mut body) = serde_json::from_slice(&request.body) {
        change(&mut body);
        request.body = body.to_string().into_bytes();
    }
}

fn text(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

fn renamed(from: &str, status: u16, to: &str, reply: &mut Reply) {
    if String::from_utf8_lossy(&reply.body).contains(from) {
        reply.error(status, to);
    }
}

/// A ServerHello that selects TLS 1.1 with TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA.
const SERVER_HELLO_1_1: &[u8] = &[
    22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0xc0, 0x13, 0,
];

use Change::{Answers, Exchanges, Hello, Requests};

/// The description of each mutant, the case that detects it, and the change.
pub const MUTANTS: [(&str, &str, Change); 46] = [
    (
        "accepts TLS 1.1",
        "tls-1.1-refused",
        Hello(SERVER_HELLO_1_1),
    ),
    (
        "answers a ClientHello in HTTP",
        "tls-1.0-refused",
        Hello(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>"),
    ),
    (
        "labels JSON as HTML",
        "http-1.1-served",
        Answers(|r| {
            r.headers.retain(|(name, _)| name != "content-type");
            r.headers.push(("content-type".into(), "text/html".into()));
        }),
    ),
    (
        "serves GET",
        "method-get-health",
        Exchanges(|asked, r| {
            if asked.method == "GET" {
                r.status = 200;
            }
        }),
    ),
    (
        "names no method in Allow",
        "method-get-encrypt",
        Answers(|r| r.headers.retain(|(name, _)| name != "allow")),
    ),
    (
        "answers unknown paths in HTML",
        "path-keys",
        Answers(|r| {
            if r.status == 404 {
                r.body = b"<html><h1>404 Not Found</h1></html>".to_vec();
                r.headers.retain(|(name, _)| name != "content-type");
            }
        }),
    ),
    (
        "answers unknown prefixes with 401",
        "prefix-unknown",
        Answers(|r| renamed("InvalidUriPath", 401, "AuthenticationFailedException", r)),
    ),
    (
        "accepts a missing kmsRequestId",
        "encrypt-kmsRequestId-missing",
        Requests(|r| asked(r, |b| b["requestMetadata"]["kmsRequestId"] = "x".into())),
    ),
    (
        "rejects unknown operations",
        "encrypt-kmsOperation-unknown",
        Exchanges(|asked, r| {
            if text(asked).contains("OfTheFuture") {
                r.error(400, "ValidationException");
            }
        }),
    ),
    (
        "rejects unknown fields",
        "metadata-unknown-field",
        Exchanges(|asked, r| {
            if text(asked).contains("OfTheFuture") {
                r.error(400, "ValidationException");
            }
        }),
    ),
    (
        "reports bad bodies as internal errors",
        "body-brace",
        Answers(|r| renamed("ValidationException", 500, "InternalException", r)),
    ),
    (
        "returns ValidationException with another status",
        "encrypt-plaintext-missing",
        Answers(|r| {
            if r.status == 400 {
                r.status = 422;
            }
        }),
    ),
    (
        "reports an unknown algorithm as invalid",
        "encrypt-encryptionAlgorithm-unknown",
        Answers(|r| renamed("UnsupportedOperation", 400, "ValidationException", r)),
    ),
    (
        "treats any algorithm as AES_GCM",
        "decrypt-encryptionAlgorithm-unknown",
        Requests(|r| asked(r, |b| b["encryptionAlgorithm"] = "AES_GCM".into())),
    ),
    (
        "accepts Base64 for URLs",
        "base64-encrypt-plaintext-url-safe",
        Requests(|r| {
            asked(r, |b| {
                if let Some(text) = b["plaintext"].as_str() {
                    b["plaintext"] = text.replace('-', "+").replace('_', "/").into();
                }
            })
        }),
    ),
    (
        "accepts Base64 without padding",
        "base64-decrypt-authenticationTag-unpadded",
        Requests(|r| {
            asked(r, |b| {
                if let Some(tag) = b["authenticationTag"]
                    .as_str()
                    .filter(|tag| tag.len() % 4 != 0)
                {
                    b["authenticationTag"] = format!("{tag}==").into();
                }
            })
        }),
    ),
    (
        "returns Base64 without padding",
        "encrypt-tag-length",
        Answers(|r| {
            r.json(|b| {
                if let Some(tag) = b["authenticationTag"].as_str() {
                    b["authenticationTag"] = tag.trim_end_matches('=').into();
                }
            })
        }),
    ),
    (
        "returns no keySpec",
        "metadata-shape",
        Answers(|r| without(r, "keySpec")),
    ),
    (
        "reports every key as AES_128",
        "metadata-spec",
        Answers(|r| r.json(|b| b["keySpec"] = "AES_128".into())),
    ),
    (
        "reports a disabled key as enabled",
        "metadata-disabled",
        Answers(|r| r.json(|b| b["keyStatus"] = "ENABLED".into())),
    ),
    (
        "reports that every key may decrypt",
        "metadata-encrypt-only",
        Answers(|r| r.json(|b| b["keyUsage"] = json!(["ENCRYPT", "DECRYPT"]))),
    ),
    (
        "returns a tag of 12 bytes",
        "encrypt-tag-length",
        Answers(|r| r.field("authenticationTag", |tag| tag.truncate(12))),
    ),
    (
        "returns an IV of 13 bytes",
        "encrypt-iv-length",
        Answers(|r| r.field("initializationVector", |iv| iv.resize(13, 0))),
    ),
    (
        "always returns the same IV",
        "encrypt-iv-fresh",
        Answers(|r| r.field("initializationVector", |iv| iv.fill(7))),
    ),
    (
        "returns a longer ciphertext",
        "encrypt-ciphertext-length",
        Answers(|r| r.field("ciphertext", |c| c.push(0))),
    ),
    (
        "returns 21 bytes of metadata",
        "encrypt-metadata-length",
        Answers(|r| r.json(|b| b["ciphertextMetadata"] = base64([1; 21]).into())),
    ),
    (
        "rejects 4,300 bytes",
        "encrypt-plaintext-of-4300-bytes",
        Exchanges(|asked, r| {
            if asked.body.len() > 5_000 {
                r.error(501, "UnsupportedOperationException");
            }
        }),
    ),
    (
        "rejects an AAD of 8,192 bytes",
        "encrypt-aad-of-8192-bytes",
        Exchanges(|asked, r| {
            if asked.body.len() > 8_192 {
                r.error(501, "UnsupportedOperationException");
            }
        }),
    ),
    (
        "returns another plaintext",
        "decrypt-twice",
        Answers(|r| r.field("plaintext", |p| p[0] ^= 1)),
    ),
    (
        "returns a wrong CDIV",
        "cdiv-with-aad",
        Answers(|r| r.field("ciphertextDataIntegrityValue", |v| v[31] ^= 1)),
    ),
    (
        "returns no CDIV",
        "cdiv-without-aad",
        Answers(|r| without(r, "ciphertextDataIntegrityValue")),
    ),
    (
        "ignores the AAD",
        "decrypt-aad-changed",
        Requests(|r| {
            asked(r, |b| {
                drop(
                    b.as_object_mut()
                        .unwrap()
                        .remove("additionalAuthenticatedData"),
                )
            })
        }),
    ),
    (
        "ignores changed metadata",
        "decrypt-metadata-last-bit",
        Requests(|r| {
            asked(r, |b| {
                if !b["ciphertextMetadata"].is_null() {
                    b["ciphertextMetadata"] = base64([1, 0, 0, 0, 1]).into();
                }
            })
        }),
    ),
    (
        "reports a bad tag as an internal error",
        "decrypt-tag-first-bit",
        Answers(|r| renamed("InvalidCiphertext", 500, "InternalException", r)),
    ),
    (
        "reports a short IV as a validation error",
        "decrypt-iv-of-8-bytes",
        Answers(|r| renamed("InvalidCiphertext", 400, "ValidationException", r)),
    ),
    (
        "reports no fleet",
        "health-fleet-details",
        Answers(|r| without(r, "ekmFleetDetails")),
    ),
    (
        "reports zero proxies",
        "health-fleet-size",
        Answers(|r| r.json(|b| b["xksProxyFleetSize"] = 0.into())),
    ),
    (
        "reports an unknown health status",
        "health-status-values",
        Answers(|r| r.json(|b| b["ekmFleetDetails"][0]["healthStatus"] = "OK".into())),
    ),
    (
        "reports a missing key as a bad path",
        "missing-key-encrypt",
        Answers(|r| renamed("KeyNotFound", 404, "InvalidUriPathException", r)),
    ),
    (
        "serves a disabled key",
        "disabled-key-encrypt",
        Requests(|r| r.target = r.target.replace("switched-off", "orders")),
    ),
    (
        "decrypts with a key that may not",
        "encrypt-only-key-decrypts-not",
        Requests(|r| r.target = r.target.replace("encrypt-only", "orders")),
    ),
    (
        "does not verify signatures",
        "signature-wrong-secret",
        Requests(|_| {}),
    ),
    (
        "does not verify the time",
        "signature-stale",
        Requests(|_| {}),
    ),
    (
        "distinguishes unknown ids from wrong secrets",
        "unknown-id-like-wrong-secret",
        Exchanges(|asked, r| {
            if asked.value("authorization").contains("ZZZZ") {
                r.json(|b| b["errorMessage"] = "unknown access key id".into());
            }
        }),
    ),
    (
        "writes long messages",
        "body-null",
        Answers(|r| r.json(|b| b["errorMessage"] = "x".repeat(512).into())),
    ),
    (
        "writes messages in Greek",
        "body-array",
        Answers(|r| r.json(|b| b["errorMessage"] = "λάθος".into())),
    ),
];
