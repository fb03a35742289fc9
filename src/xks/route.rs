//! Parses a request path into key store prefix, operation and key id (XKS API, "URI path").
//!
//! The path is parsed as received, without decoding or normalizing it. An accepted path contains only `[A-Za-z0-9/._-]`, so every proxy and every signer
//! reads it in the same way.

use super::names::{API_ROOT, ExternalKeyId, PathPrefix};

/// The longest path of the API, in characters.
const MAX_PATH: usize = 256;

/// The four operations of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// GetHealthStatus.
    Health,
    /// GetKeyMetadata.
    Metadata,
    /// Encrypt.
    Encrypt,
    /// Decrypt.
    Decrypt,
}

impl Operation {
    /// Every operation, for tables and tests.
    pub const ALL: [Self; 4] = [Self::Health, Self::Metadata, Self::Encrypt, Self::Decrypt];

    /// Returns the last segment of the operation's path, which is also its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Metadata => "metadata",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
        }
    }
}

/// The parts of an API path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The path prefix before `/kms/xks/v1`. It is not checked here that a key store has this prefix.
    pub prefix: &'a str,
    /// The operation.
    pub operation: Operation,
    /// The external key; `None` for [`Operation::Health`].
    pub key_id: Option<ExternalKeyId>,
}

/// The path is not a path of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteError;

impl<'a> Route<'a> {
    /// Parses `path`, which has no query. It is parsed from its end, because a prefix may itself look like an API path.
    ///
    /// # Errors
    /// [`RouteError`] when the path has another form, an illegal character or more than 256 characters.
    pub fn parse(path: &'a str) -> Result<Self, RouteError> {
        if path.len() > MAX_PATH {
            return Err(RouteError);
        }
        let (rest, last) = path.rsplit_once('/').ok_or(RouteError)?;
        let operation = Operation::ALL.into_iter().find(|o| o.as_str() == last);
        match operation.ok_or(RouteError)? {
            Operation::Health => Ok(Self {
                prefix: prefix_before(rest)?,
                operation: Operation::Health,
                key_id: None,
            }),
            operation => Self::parse_key(rest, operation),
        }
    }

    fn parse_key(path: &'a str, operation: Operation) -> Result<Self, RouteError> {
        let (rest, id) = path.rsplit_once('/').ok_or(RouteError)?;
        let key_id = ExternalKeyId::parse(id).ok_or(RouteError)?;
        let rest = rest.strip_suffix("/keys").ok_or(RouteError)?;
        Ok(Self {
            prefix: prefix_before(rest)?,
            operation,
            key_id: Some(key_id),
        })
    }
}

fn prefix_before(path: &str) -> Result<&str, RouteError> {
    let prefix = path.strip_suffix(API_ROOT).ok_or(RouteError)?;
    PathPrefix::parse(prefix).map_err(|_| RouteError)?;
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> Option<(String, Operation, Option<String>)> {
        let route = Route::parse(path).ok()?;
        let id = route.key_id.map(|id| id.to_string());
        Some((route.prefix.to_owned(), route.operation, id))
    }

    #[test]
    fn api_paths_are_parsed() {
        let key =
            |prefix: &str, operation, id: &str| Some((prefix.into(), operation, Some(id.into())));
        let health = |prefix: &str| Some((prefix.into(), Operation::Health, None));
        assert_eq!(parts("/kms/xks/v1/health"), health(""));
        assert_eq!(parts("/a/b-c/d_e/kms/xks/v1/health"), health("/a/b-c/d_e"));
        assert_eq!(
            parts("/kms/xks/v1/keys/k/encrypt"),
            key("", Operation::Encrypt, "k")
        );
        assert_eq!(
            parts("/p/kms/xks/v1/keys/a.b-C_9/decrypt"),
            key("/p", Operation::Decrypt, "a.b-C_9")
        );
        assert_eq!(
            parts("/kms/xks/v1/keys/keys/metadata"),
            key("", Operation::Metadata, "keys")
        );
    }

    #[test]
    fn a_prefix_may_look_like_an_api_path() {
        let path = "/kms/xks/v1/keys/k/encrypt/kms/xks/v1/health";
        let route = Route::parse(path).unwrap();
        assert_eq!(route.prefix, "/kms/xks/v1/keys/k/encrypt");
    }

    #[test]
    fn other_paths_are_rejected() {
        let too_long = format!("/kms/xks/v1/keys/{}/encrypt", "k".repeat(240));
        for path in [
            "",
            "/",
            "health",
            "/health",
            "/kms/xks/v1",
            "/kms/xks/v1/",
            "/kms/xks/v1/health/",
            "/kms/xks/v2/health",
            "//kms/xks/v1/health",
            "/a//kms/xks/v1/health",
            "/a/../kms/xks/v1/health",
            "/kms/xks/v1/keys/encrypt",
            "/kms/xks/v1/keys//encrypt",
            "/kms/xks/v1/keys/a/b/encrypt",
            "/kms/xks/v1/keys/../encrypt",
            "/kms/xks/v1/keys/./encrypt",
            "/kms/xks/v1/keys/a%2Fb/encrypt",
            "/kms/xks/v1/keys/k/Encrypt",
            "/kms/xks/v1/keys/k/encrypt/",
            "/kms/xks/v1/keys/k/rotate",
            "/kms/xks/v1/key/k/encrypt",
            "/a%20/kms/xks/v1/health",
            "*",
            &too_long,
        ] {
            assert_eq!(Route::parse(path), Err(RouteError), "{path}");
        }
    }
}
