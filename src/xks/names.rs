//! The names in a URI: external key ids and path prefixes (XKS API, "URI path").

use std::fmt;
use std::sync::Arc;

/// The longest `XksProxyUriPath` (prefix and `/kms/xks/v1`), in characters.
const MAX_URI_PATH: usize = 128;

/// An `externalKeyId`: 1 to 128 characters of `[A-Za-z0-9._-]`, but neither `.` nor `..`, which every HTTP client
/// resolves away before it signs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternalKeyId(Arc<str>);

impl ExternalKeyId {
    /// The id, or nothing when `text` is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let well_formed = (1..=128).contains(&text.len()) && text.bytes().all(legal);
        (well_formed && text != "." && text != "..").then(|| Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ExternalKeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The path before `/kms/xks/v1`: empty, or segments of `[A-Za-z0-9_-]+`, each after a slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// The prefix, or what is wrong with it in words for an operator.
    ///
    /// # Errors
    /// A sentence: which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self(String::new()));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err("must start with a slash");
        };
        if text.ends_with('/') {
            return Err("must not end with a slash");
        }
        if rest.split('/').any(str::is_empty) {
            return Err("must not hold two slashes in a row");
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-');
        if !text.bytes().all(legal) {
            return Err("may hold letters, digits, '-', '_' and '/' only");
        }
        if text.len() + super::route::API_ROOT.len() > MAX_URI_PATH {
            return Err("is too long: with /kms/xks/v1 it may have 128 characters");
        }
        Ok(Self(text.to_owned()))
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The `XksProxyUriPath` that the KMS console wants.
    pub fn uri_path(&self) -> String {
        format!("{}{}", self.0, super::route::API_ROOT)
    }
}

impl std::borrow::Borrow<str> for PathPrefix {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_keep_to_their_alphabet_and_length() {
        let longest = "k".repeat(128);
        for good in ["a", "A.b_c-9", "...", &longest] {
            assert!(ExternalKeyId::parse(good).is_some(), "{good}");
        }
        let too_long = "k".repeat(129);
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a%2F", "a:b", &too_long] {
            assert!(ExternalKeyId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn prefixes_keep_to_their_rules() {
        let longest = format!("/{}", "p".repeat(128 - "/kms/xks/v1".len() - 1));
        for good in ["", "/a", "/a/B-2/c_d", "/kms/xks/v1", &longest] {
            assert_eq!(PathPrefix::parse(good).unwrap().as_str(), good);
        }
        let too_long = format!("{longest}p");
        for bad in [
            "a", "/", "/a/", "//a", "/a//b", "/a.b", "/a b", "/%2F", &too_long,
        ] {
            assert!(PathPrefix::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(PathPrefix::parse("/a").unwrap().uri_path(), "/a/kms/xks/v1");
    }
}
