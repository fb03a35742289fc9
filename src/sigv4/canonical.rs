//! The canonical request (AWS Signature Version 4, "Create a canonical request"), from exactly the received bytes.

use std::borrow::Cow;
use std::fmt::Write;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::hex;

/// A request as received. No part is decoded or normalized.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path without the query.
    pub path: &'a str,
    /// The part after `?`; `None` if the target has no `?`.
    pub query: Option<&'a str>,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// HTTP/2's `:authority`, which replaces `host`; `None` for HTTP/1.
    pub authority: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// The form of the path in the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathForm {
    /// Dot segments are resolved, repeated slashes are merged, and the result is encoded: the rule for all services except S3.
    Normalized,
    /// The path is encoded only.
    AsSent,
}

/// The reason why a request has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CanonicalError {
    /// A signed header field is missing.
    Missing(String),
    /// A header field that may occur once is repeated.
    Repeated(&'static str),
    /// The value of a signed header field is not text.
    NotText(String),
}

impl SignedRequest<'_> {
    /// Returns the canonical request with the header list `signed_headers` (names joined by `;`).
    pub(super) fn canonical(
        &self,
        signed_headers: &str,
        form: PathForm,
    ) -> Result<String, CanonicalError> {
        let mut text = String::with_capacity(512);
        text.push_str(self.method);
        text.push('\n');
        text.push_str(&canonical_path(self.path, form));
        text.push('\n');
        text.push_str(&canonical_query(self.query.unwrap_or_default()));
        text.push('\n');
        for name in signed_headers.split(';') {
            text.push_str(name);
            text.push(':');
            self.push_header(&mut text, name)?;
            text.push('\n');
        }
        text.push('\n');
        text.push_str(signed_headers);
        text.push('\n');
        hex::push(&mut text, &Sha256::digest(self.body));
        Ok(text)
    }

    fn push_header(&self, text: &mut String, name: &str) -> Result<(), CanonicalError> {
        match (name, self.authority) {
            ("host", Some(authority)) => {
                text.push_str(authority);
                Ok(())
            }
            _ => self.push_header_values(text, name),
        }
    }

    fn push_header_values(&self, text: &mut String, name: &str) -> Result<(), CanonicalError> {
        let mut count = 0;
        for value in self.headers.get_all(name) {
            let value = std::str::from_utf8(value.as_bytes())
                .map_err(|_| CanonicalError::NotText(name.to_owned()))?;
            if count > 0 {
                text.push(',');
            }
            push_trimmed(text, value);
            count += 1;
        }
        match (name, count) {
            (_, 0) => Err(CanonicalError::Missing(name.to_owned())),
            ("host", 2..) => Err(CanonicalError::Repeated("host")),
            _ => Ok(()),
        }
    }
}

/// Appends the value without outer blanks. Each inner sequence of blanks becomes one blank.
fn push_trimmed(text: &mut String, value: &str) {
    let mut words = value
        .split([' ', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        text.push_str(first);
    }
    for word in words {
        text.push(' ');
        text.push_str(word);
    }
}

fn canonical_path(path: &str, form: PathForm) -> Cow<'_, str> {
    let path = match form {
        PathForm::Normalized => normalized(path),
        PathForm::AsSent if path.is_empty() => "/".into(),
        PathForm::AsSent => path.into(),
    };
    match path.bytes().all(|b| is_unreserved(b) || b == b'/') {
        true => path,
        false => encoded(path.as_bytes(), |b| is_unreserved(b) || b == b'/').into(),
    }
}

fn normalized(path: &str) -> Cow<'_, str> {
    let plain = path.starts_with('/')
        && !path.contains("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."));
    if plain {
        return path.into();
    }
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let end = match kept.is_empty() || !path.ends_with('/') {
        true => "",
        false => "/",
    };
    format!("/{}{end}", kept.join("/")).into()
}

fn canonical_query(query: &str) -> String {
    if query.is_empty() {
        return String::new();
    }
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (reencoded(name), reencoded(value))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Returns the canonical encoding of a part of the query, which may be encoded in any way.
fn reencoded(text: &str) -> String {
    encoded(&percent_decoded(text.as_bytes()), is_unreserved)
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex::decode_pair(*high, *low).is_some() => {
                decoded.extend(hex::decode_pair(*high, *low));
                rest = after;
            }
            _ => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

/// Percent-encodes the bytes for which `is_kept` returns false.
fn encoded(bytes: &[u8], is_kept: impl Fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for &byte in bytes {
        match is_kept(byte) {
            true => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            false => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized_and_encoded() {
        let normal = |path| canonical_path(path, PathForm::Normalized).into_owned();
        for (path, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/b", "/a/b"),
            ("/a//b/", "/a/b/"),
            ("/./a", "/a"),
            ("/a/..", "/"),
            ("/../a", "/a"),
            ("/a/b/../c/.", "/a/c"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%2520b"),
            (
                "/kms/xks/v1/keys/k.1_-/encrypt",
                "/kms/xks/v1/keys/k.1_-/encrypt",
            ),
        ] {
            assert_eq!(normal(path), canonical, "{path}");
        }
        assert_eq!(canonical_path("/a/../b//", PathForm::AsSent), "/a/../b//");
    }

    #[test]
    fn queries_are_sorted_and_encoded_once() {
        for (query, canonical) in [
            ("", ""),
            ("a", "a="),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1", "a=1&a=2"),
            ("x=%7E~", "x=~~"),
            ("x=a b", "x=a%20b"),
            ("x=%2f", "x=%2F"),
            ("x=a=b", "x=a%3Db"),
            ("x=%zz%4", "x=%25zz%254"),
            ("&a=1&", "a=1"),
        ] {
            assert_eq!(canonical_query(query), canonical, "{query}");
        }
    }

    #[test]
    fn extra_blanks_of_header_values_are_removed() {
        let mut text = String::new();
        push_trimmed(&mut text, "  a   b\t c ");
        assert_eq!(text, "a b c");
    }
}
