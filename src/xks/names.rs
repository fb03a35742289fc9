//! The parts of a URI path: external key ids, path prefixes, and the path of the API (XKS API, "URI path").

use std::fmt;
use std::sync::Arc;

/// The part of every API path between the prefix and the operation.
pub(super) const API_ROOT: &str = "/kms/xks/v1";

/// The longest `XksProxyUriPath` (prefix and `/kms/xks/v1`), in characters.
const MAX_URI_PATH: usize = 128;

/// An `externalKeyId`: 1 to 128 characters of `[A-Za-z0-9._-]`, except `.` and `..`, because HTTP clients remove these segments before they sign.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternalKeyId(Arc<str>);

impl ExternalKeyId {
    /// Parses an id; `None` if `text` is not an external key id.
    pub fn parse(text: &str) -> Option<Self> {
        let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let is_well_formed = (1..=128).contains(&text.len()) && text.bytes().all(is_legal);
        (is_well_formed && text != "." && text != "..").then(|| Self(text.into()))
    }

    /// Returns the id as text.
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
    /// Parses a path prefix.
    ///
    /// # Errors
    /// Returns the rule that the text breaks, as a text for the operator.
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
            return Err("must not contain two slashes in a row");
        }
        let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-');
        if !text.bytes().all(is_legal) {
            return Err("may contain letters, digits, '-', '_' and '/' only");
        }
        if text.len() + API_ROOT.len() > MAX_URI_PATH {
            return Err("is too long: with /kms/xks/v1 it may have 128 characters");
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the `XksProxyUriPath` for the KMS console.
    pub fn uri_path(&self) -> String {
        format!("{}{API_ROOT}", self.0)
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
    fn characters_and_length_of_key_ids_are_checked() {
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
    fn the_rules_of_prefixes_are_checked() {
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
