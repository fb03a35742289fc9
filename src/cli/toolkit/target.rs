//! The options by which `probe`, `conformance` and `bench` find a proxy: endpoint, path, credential, certificates.
//!
//! # Invariants
//! - A secret comes from a file and never from the command line, where every process of the machine could read it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::cli::input::files::{read, read_text};
use crate::cli::output::exit::CommandError;
use crate::client::{ClientIdentity, authorities};
use crate::secret::Secret;
use crate::sigv4::{Credential, CredentialError};

/// The service of the credential scope (XKS API, section 7).
pub(in crate::cli) const SERVICE: &str = "kms-xks-proxy";

/// KMS knows no other.
const HTTPS_PORT: u16 = 443;

#[derive(Args)]
pub(in crate::cli) struct TargetOptions {
    /// The proxy, as https://HOST or https://HOST:PORT. Needed.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Connect there instead of where the name leads; the name stays in TLS and in the Host field.
    #[arg(long, value_name = "IP:PORT")]
    connect: Option<SocketAddr>,
    /// XksProxyUriPath, such as /payments/kms/xks/v1; else of --credential.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The Region of the key store.
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// The console's JSON file: path, access key id and secret (`xks-proxy credential new` writes it).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["access_key_id", "secret_file"])]
    credential: Option<PathBuf>,
    /// The access key id.
    #[arg(long, value_name = "ID", requires = "secret_file")]
    access_key_id: Option<String>,
    /// A file that holds the secret access key.
    #[arg(long, value_name = "FILE", requires = "access_key_id")]
    secret_file: Option<PathBuf>,
    /// PEM of authorities to trust besides the public ones.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM of the client certificate that the proxy takes, with its chain (mTLS).
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// PEM of its private key.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// An external key id to use.
    #[arg(long, value_name = "KEY_ID")]
    pub(in crate::cli) key: Option<String>,
}

/// The target as the options say it, with the files read.
pub(in crate::cli) struct Target {
    pub(in crate::cli) host: String,
    pub(in crate::cli) port: u16,
    /// Where to connect instead of where the name leads.
    pub(in crate::cli) connect: Option<SocketAddr>,
    pub(in crate::cli) path: String,
    pub(in crate::cli) region: String,
    pub(in crate::cli) access_key_id: String,
    pub(in crate::cli) secret: Secret,
    /// Authorities besides the public ones, DER.
    pub(in crate::cli) authorities: Vec<Vec<u8>>,
    pub(in crate::cli) identity: Option<ClientIdentity>,
}

/// The settings from a console file, or from the options that replace it.
pub(in crate::cli) struct Console {
    pub(in crate::cli) path: Option<String>,
    pub(in crate::cli) access_key_id: String,
    pub(in crate::cli) secret: Secret,
}

/// The JSON file that the KMS console accepts.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConsoleFile {
    xks_proxy_uri_path: Option<String>,
    xks_proxy_authentication_credential: ConsoleCredential,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConsoleCredential {
    access_key_id: String,
    raw_secret_access_key: String,
}

impl TargetOptions {
    /// Reads the files.
    pub(in crate::cli) fn target(&self) -> Result<Target, CommandError> {
        let given = self.endpoint.as_deref();
        let (host, port) = endpoint(given.ok_or_else(|| CommandError::usage("give --endpoint"))?)?;
        let console = self.console()?;
        let path = self.path.clone().or(console.path);
        Ok(Target {
            host,
            port,
            connect: self.connect,
            path: path.ok_or_else(|| {
                CommandError::usage(
                    "give --path: without the console's JSON file, the path is not known",
                )
            })?,
            region: self.region.clone(),
            access_key_id: console.access_key_id,
            secret: console.secret,
            authorities: self.authorities()?,
            identity: identity(
                self.client_certificate.as_deref(),
                self.client_key.as_deref(),
            )?,
        })
    }

    fn console(&self) -> Result<Console, CommandError> {
        match (&self.credential, &self.access_key_id, &self.secret_file) {
            (Some(file), ..) => console(file),
            (None, Some(id), Some(file)) => {
                let text = read_text(file)?;
                Ok(Console {
                    path: None,
                    access_key_id: id.clone(),
                    secret: Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()),
                })
            }
            _ => Err(CommandError::usage(
                "give --credential, or --access-key-id with --secret-file",
            )),
        }
    }

    fn authorities(&self) -> Result<Vec<Vec<u8>>, CommandError> {
        let Some(file) = &self.ca else {
            return Ok(Vec::new());
        };
        let name = file.display();
        authorities(&read(file)?).map_err(|fault| CommandError::usage(format!("{name} {fault}")))
    }
}

impl Target {
    /// Returns the credential that signs requests.
    ///
    /// # Errors
    /// The rule that the credential breaks (XKS API, section 7).
    pub(in crate::cli) fn credential(&self) -> Result<Credential, CredentialError> {
        Credential::new(&self.access_key_id, self.secret.clone())
    }
}

/// A client certificate, if there is one.
pub(in crate::cli) fn identity(
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<Option<ClientIdentity>, CommandError> {
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Ok(None);
    };
    let identity = ClientIdentity::from_pem(&read(certificate)?, &read(key)?);
    identity.map(Some).map_err(CommandError::usage)
}

/// Reads the console's JSON.
pub(in crate::cli) fn console(file: &Path) -> Result<Console, CommandError> {
    let text = read(file)?;
    // The error of a JSON parser may quote the file, which holds a secret.
    let console: ConsoleFile = serde_json::from_slice(&text).map_err(|error| {
        let (file, line) = (file.display(), error.line());
        CommandError::usage(format!("{file} is not the console's JSON (line {line})"))
    })?;
    let credential = console.xks_proxy_authentication_credential;
    Ok(Console {
        path: console.xks_proxy_uri_path,
        access_key_id: credential.access_key_id,
        secret: Secret::new(credential.raw_secret_access_key),
    })
}

/// Host and port of `https://HOST[:PORT]`.
fn endpoint(text: &str) -> Result<(String, u16), CommandError> {
    let wrong = || {
        CommandError::usage(format!(
            "--endpoint is https://HOST or https://HOST:PORT, not {text:?}"
        ))
    };
    let authority = text.strip_prefix("https://").ok_or_else(wrong)?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (authority, HTTPS_PORT),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match !host.is_empty() && host.chars().all(legal) {
        true => Ok((host.to_owned(), port)),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn endpoints() {
        let parsed = |text| endpoint(text).ok();
        assert_eq!(parsed("https://a.example"), Some(("a.example".into(), 443)));
        assert_eq!(
            parsed("https://localhost:8443/"),
            Some(("localhost".into(), 8443))
        );
        for bad in [
            "http://a",
            "a.example",
            "https://",
            "https://a/b",
            "https://a:x",
            "https://[::1]:1",
        ] {
            assert!(parsed(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_file_that_is_not_the_consoles_is_not_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        fs::write(&file, "\"SeCrEt").unwrap();
        let error = console(&file).err().unwrap();
        assert!(!error.message.contains("SeCrEt"), "{}", error.message);
    }
}
