//! The proxy configuration file for the KMS console. An operator can upload it instead of typing three fields.

use serde::{Serialize, Serializer};

use super::PathPrefix;
use crate::secret::Secret;

/// The content of the file. Serializing it reveals the secret, because KMS requires the secret in this file.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConsoleFile<'a> {
    xks_proxy_uri_path: String,
    xks_proxy_authentication_credential: AuthenticationCredential<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AuthenticationCredential<'a> {
    access_key_id: &'a str,
    #[serde(serialize_with = "revealed")]
    raw_secret_access_key: &'a Secret,
}

impl<'a> ConsoleFile<'a> {
    /// Creates the file of a key store with this path prefix.
    pub fn new(prefix: &PathPrefix, access_key_id: &'a str, secret: &'a Secret) -> Self {
        Self {
            xks_proxy_uri_path: prefix.uri_path(),
            xks_proxy_authentication_credential: AuthenticationCredential {
                access_key_id,
                raw_secret_access_key: secret,
            },
        }
    }
}

fn revealed<S: Serializer>(secret: &&Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_have_the_names_of_the_console() {
        let secret = Secret::new("s3cret".into());
        for (prefix, path) in [("/payments", "/payments/kms/xks/v1"), ("", "/kms/xks/v1")] {
            let prefix = PathPrefix::parse(prefix).unwrap();
            let file = serde_json::to_value(ConsoleFile::new(&prefix, "ID", &secret)).unwrap();
            let credential =
                serde_json::json!({ "AccessKeyId": "ID", "RawSecretAccessKey": "s3cret" });
            let expected = serde_json::json!({
                "XksProxyUriPath": path,
                "XksProxyAuthenticationCredential": credential,
            });
            assert_eq!(file, expected);
        }
    }
}
