//! The options by which `probe` and `bench` find a proxy: endpoint, path, credential, certificates.
//!
//! # Invariants
//! - A secret comes from a file and never from the command line, where every process of the machine could read it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::exit::{ExitStatus, Refusal};
use crate::client::ClientIdentity;
use crate::secret::Secret;
use crate::sigv4::{Credential, CredentialError};

/// The service of the credential scope (XKS API, section 7).
pub(super) const SERVICE: &str = "kms-xks-proxy";

/// KMS knows no other.
const HTTPS_PORT: u16 = 443;

#[derive(Args)]
pub(super) struct TargetOptions {
    /// The proxy, as https://HOST or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(super) endpoint: String,
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
    /// PEM of authorities to trust besides those of this machine.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM of a client certificate with its chain (mTLS).
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// PEM of its private key.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// An external key id to use.
    #[arg(long, value_name = "KEY_ID")]
    pub(super) key: Option<String>,
}

/// The target as the options say it, with the files read.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) region: String,
    pub(super) credential: Result<Credential, CredentialError>,
    /// Authorities besides the public ones, PEM.
    pub(super) ca: Option<String>,
    pub(super) identity: Option<ClientIdentity>,
}

/// What the KMS console takes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Console {
    xks_proxy_uri_path: String,
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
    pub(super) fn target(&self) -> Result<Target, Refusal> {
        let (host, port) = endpoint(&self.endpoint)?;
        let (path, access_key_id, secret) = self.credential()?;
        let identity = match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => {
                let identity = ClientIdentity::from_pem(&read(certificate)?, &read(key)?);
                Some(identity.map_err(usage)?)
            }
            _ => None,
        };
        Ok(Target {
            host,
            port,
            path,
            region: self.region.clone(),
            credential: Credential::new(&access_key_id, secret),
            ca: self.ca.as_deref().map(read_text).transpose()?,
            identity,
        })
    }

    fn credential(&self) -> Result<(String, String, Secret), Refusal> {
        let (path, id, secret) = match (&self.credential, &self.access_key_id, &self.secret_file) {
            (Some(file), ..) => console(file)?,
            (None, Some(id), Some(file)) => {
                let text = read_text(file)?;
                let secret = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
                (None, id.clone(), secret)
            }
            _ => {
                return Err(usage(
                    "give --credential, or --access-key-id with --secret-file",
                ));
            }
        };
        let path = self.path.clone().or(path);
        let path = path
            .ok_or_else(|| usage("give --path: the console's JSON was not given, which has it"))?;
        Ok((path, id, secret))
    }
}

fn console(file: &Path) -> Result<(Option<String>, String, Secret), Refusal> {
    let text = read(file)?;
    // The error of a JSON parser may quote the file, which holds a secret.
    let console: Console = serde_json::from_slice(&text).map_err(|error| {
        let (file, line) = (file.display(), error.line());
        usage(&format!("{file} is not the console's JSON (line {line})"))
    })?;
    let credential = console.xks_proxy_authentication_credential;
    let secret = Secret::new(credential.raw_secret_access_key);
    Ok((
        Some(console.xks_proxy_uri_path),
        credential.access_key_id,
        secret,
    ))
}

/// Host and port of `https://HOST[:PORT]`.
fn endpoint(text: &str) -> Result<(String, u16), Refusal> {
    let wrong = || {
        usage(&format!(
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

fn usage(message: &str) -> Refusal {
    Refusal::new(ExitStatus::WrongUsage, message)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    fs::read(path).map_err(|error| usage(&format!("cannot read {}: {error}", path.display())))
}

pub(super) fn read_text(path: &Path) -> Result<String, Refusal> {
    let text = String::from_utf8(read(path)?);
    text.map_err(|_| usage(&format!("{} is not text", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let refusal = console(&file).err().unwrap();
        assert!(!refusal.message.contains("SeCrEt"), "{}", refusal.message);
    }
}
